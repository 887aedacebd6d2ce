"""Settings of the SDK, in order of precedence: `init(settings=…)`, the environment, the defaults below."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, model_validator

from stepwell.credentials import find_key
from stepwell.errors import SettingsError
from stepwell.wandb_compat import SETTINGS_ELSEWHERE, notify_once
from stepwell_schemas.limits import MEDIA_MAX_BYTES, MIB
from stepwell_schemas.settings import DEFAULT_COMPRESSION, Compression, KafkaSettings


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


_WANDBS_WRAP: Final = ("wrap", "wrap_raw", "wrap_emu")
"""Console modes of wandb that wrap `sys.stdout`; all of them map to `auto`."""


_WANDBS_OTHER_NAMES: Final = {"silent": "quiet", "root_dir": "dir"}
"""Settings that wandb has under another name."""

_WANDBS_SWITCHES: Final[dict[str, tuple[str, Any]]] = {
    "x_disable_stats": ("system_seconds", 0.0),
    "_disable_stats": ("system_seconds", 0.0),
    "disable_git": ("git", False),
}
"""Settings of wandb that switch something off, each with the setting and value that do so here."""

Transport = Literal["auto", "kafka", "http"]
"""Way of the data: to the brokers, over HTTP, or what the service advises."""

_TYPO: Final = 0.8
"""Similarity, from 0 to 1, from which an unknown name counts as a misspelled setting."""


class ProducerSettings(KafkaSettings):
    """Settings of a training process (`STEPWELL_*`)."""

    base_url: str = Field(
        "http://127.0.0.1:8420",
        description="URL of the Stepwell service: gives the brokers' addresses, and serves `Api`.",
    )
    transport: Transport = Field(
        "auto",
        description="Way of the data to the service. kafka: to the brokers; http: to the service's own address, which "
        "is all that a machine must reach; auto: to the brokers if STEPWELL_KAFKA_BOOTSTRAP_SERVERS names them, "
        "otherwise as the service advises and what can be reached.",
    )
    api_key: SecretStr = Field(
        SecretStr(""), description="API key sent to the service. Default: the one that `stepwell login` kept for it."
    )
    ca_file: Path | None = Field(
        None,
        description="PEM file with certificate authorities to trust in addition to the usual ones, for a service with"
        " a certificate of your own.",
    )
    credentials_file: Path | None = Field(
        None,
        description="File in which `stepwell login` keeps keys, for the user alone. Default:"
        " `stepwell/credentials.json` in `$XDG_CONFIG_HOME` or `~/.config`.",
    )
    entity: str = Field(default_factory=_user, description="Entity that runs belong to. Default: the user's name.")
    project: str = Field("uncategorized", description="Project that runs belong to.")
    run_id: str = Field("", description="Id of the run. Default: 8 random characters.")
    mode: Literal["online", "offline", "disabled"] = Field(
        "online", description="online: send while training; offline: only write the journal; disabled: record nothing."
    )
    dir: Path = Field(Path(".stepwell"), description="Folder for journals.")
    writer: str = Field(
        "",
        description="Name of this process, if several processes write one run. Default: `rank` and its number under a"
        " launcher of several processes.",
    )
    journal_max_bytes: int = Field(
        16 * 1024 * MIB, ge=MIB, description="Upper bound, in bytes, of undelivered data in a journal."
    )
    journal_when_full: Literal["block", "drop"] = Field(
        "drop",
        description="With a full journal or disk: drop rows and count them, or block log() while the sender can"
        " make room.",
    )
    media_max_bytes: int = Field(MEDIA_MAX_BYTES, ge=1, description="Size limit of a media file, in bytes.")
    keep_journal: bool = Field(False, description="Keep journals after they have been delivered in full.")
    orphan_wait_seconds: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="Seconds without progress to wait for another process that delivers an older journal.",
    )
    deliver_other_runs: bool = Field(
        True, description="Deliver what other runs left in STEPWELL_DIR when this run has nothing to send."
    )
    compression: Compression = Field(
        DEFAULT_COMPRESSION, description="Compression of Kafka batches; over HTTP, of requests."
    )
    poll_seconds: float = Field(
        0.05, gt=0, le=10, description="Interval, in seconds, at which the sender checks for new rows."
    )
    retry_seconds: float = Field(
        2.0,
        gt=0,
        le=300,
        description="Seconds between the first two attempts to reach the brokers; doubles up to eight times as long.",
    )
    ack_timeout_seconds: float = Field(
        10.0,
        gt=0,
        le=600,
        description="Seconds without an acknowledgement after which the SDK requests the brokers from the service again"
        " and reconnects; doubles while that does not help.",
    )
    sigterm_drain_seconds: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="Seconds for which a process that gets SIGTERM delivers what it has logged before it ends; only if"
        " the process has no handler of its own. 0: no handler.",
    )
    system_seconds: float = Field(
        15.0, ge=0, le=86_400, description="Seconds between two samples of the system metrics; 0 turns them off."
    )
    stop: Literal["flag", "raise"] = Field(
        "flag",
        description="What a request to stop the run does: flag sets `run.stop_requested`; raise makes the next `log()`"
        " raise StopRequestedError as well.",
    )
    stop_poll_seconds: float = Field(
        15.0,
        ge=0,
        le=86_400,
        description="Seconds, give or take a quarter, between two requests to the service for whether the run is to"
        " stop or was deleted; 0: none. Of several ranks, the primary one sends them.",
    )
    console: Literal["auto", "redirect", "off"] = Field(
        "auto",
        description="Capture of console output. auto: sys.stdout and sys.stderr; redirect: file descriptors 1 and 2,"
        " which includes subprocesses and C code; off: none.",
    )
    git: bool = Field(
        True,
        description="Record the Git commit of the script's checkout, and whether its tracked files differ from it.",
    )
    quiet: bool = Field(False, description="Print warnings only.")

    def __init__(self, **given: Any) -> None:
        """Read the settings; arguments override the environment. Raises: SettingsError, naming setting and rule."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = "_".join(str(part) for part in first["loc"])
            rule = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"setting {name} (STEPWELL_{name.upper()}): {rule}" if name else rule) from error

    @property
    def destination(self) -> str:
        """Destination of sessions: the brokers that were given, otherwise the service, which names them."""
        brokers = "" if self.transport == "http" else self.kafka_bootstrap_servers
        return brokers or self.base_url.rstrip("/")

    @model_validator(mode="before")
    @classmethod
    def _take_wandbs_names(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        taken = dict(given)
        for name, where in SETTINGS_ELSEWHERE.items():
            if taken.pop(name, None):
                raise ValueError(f"the setting {name} of wandb is not supported: {where}")
        _replace_wandbs_names(taken)
        _take_kept_key(taken, str(cls.model_fields["base_url"].default))
        for name in taken.keys() - cls.model_fields.keys():
            if close := get_close_matches(name, cls.model_fields, 1, _TYPO):
                raise ValueError(f"unknown setting {name!r}; did you mean {close[0]}?")
            if not name.startswith(("x_", "_")):
                notify_once(f"unknown setting {name}: ignored")
        return taken


def _take_kept_key(taken: dict[str, Any], default_url: str) -> None:
    """Add the key that is kept for the service, unless there is one, or another setting says to use none."""
    if "api_key" not in taken:
        file = taken.get("credentials_file")
        key = find_key(str(taken.get("base_url") or default_url), None if file is None else Path(str(file)))
        if key:
            taken["api_key"] = SecretStr(key)


def _replace_wandbs_names(taken: dict[str, Any]) -> None:
    for name, ours in _WANDBS_OTHER_NAMES.items():
        if taken.get(name) is not None:
            taken[ours] = taken.pop(name)
    seconds = taken.pop("x_stats_sampling_interval", None)
    if seconds is not None:
        taken["system_seconds"] = seconds
    for name, (ours, off) in _WANDBS_SWITCHES.items():
        if taken.pop(name, None):
            taken[ours] = off
    if taken.get("console") in _WANDBS_WRAP:
        taken["console"] = "auto"


def make_settings(
    given: ProducerSettings | Mapping[str, Any] | None,
    folder: str | PathLike[str] | None,
    defaults: Mapping[str, Any] | None = None,
    transport: str | None = None,
) -> ProducerSettings:
    """Return the settings of a run: arguments of `init()` override the environment.

    Args:
        given: the argument `settings`.
        folder, transport: arguments of their own, which override `given`.
        defaults: values, already valid, of settings that none of these has.

    Raises:
        SettingsError: for an invalid setting. TypeError: if `given` holds no settings.
    """
    if not isinstance(given, ProducerSettings | Mapping | None):
        raise TypeError(f"settings must be Settings or a dict of them, not {type(given).__name__}")
    over: dict[str, Any] = {} if folder is None else {"dir": Path(folder)}
    if transport is not None:
        if transport not in get_args(Transport):
            raise SettingsError(f"transport {transport!r}: must be auto, kafka or http")
        over["transport"] = transport
    if isinstance(given, ProducerSettings):
        settings = given.model_copy(update=over)
    else:
        settings = ProducerSettings(**{**dict(given or {}), **over})
    missing = {name: value for name, value in (defaults or {}).items() if name not in settings.model_fields_set}
    return settings.model_copy(update=missing) if missing else settings
