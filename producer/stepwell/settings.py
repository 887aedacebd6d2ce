"""The SDK's settings: arguments of `init(settings=…)`, else the environment, else the defaults here."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, model_validator

from stepwell.errors import SettingsError
from stepwell.wandb_compat import SETTINGS_ELSEWHERE, say_once
from stepwell_schemas.limits import MEDIA_MAX_BYTES, MIB
from stepwell_schemas.settings import KafkaSettings


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


_WANDBS_WRAP: Final = ("wrap", "wrap_raw", "wrap_emu")
"""wandb's ways of listening to `sys.stdout`; ours is one of them."""


_WANDBS_OTHER_NAMES: Final = {"silent": "quiet", "root_dir": "dir"}
"""wandb's names for settings that are there."""

_TYPO: Final = 0.8
"""How alike a name that is none must be to a setting's, from 0 to 1, to be taken for a slip."""


class ProducerSettings(KafkaSettings):
    """What a training process is told by its surroundings (`STEPWELL_*`)."""

    base_url: str = Field(
        "http://127.0.0.1:8420", description="The Stepwell service; it is asked for brokers, and read from by `Api`."
    )
    api_key: SecretStr = Field(SecretStr(""), description="The key shown to the service.")
    entity: str = Field(default_factory=_user, description="Who runs belong to; default: the user's name.")
    project: str = Field("uncategorized", description="The project runs belong to.")
    run_id: str = Field("", description="The run's id; default: 8 random characters.")
    mode: Literal["online", "offline", "disabled"] = Field(
        "online", description="online: send while training; offline: only write the journal; disabled: do nothing."
    )
    dir: Path = Field(Path(".stepwell"), description="Folder of the journals.")
    writer: str = Field("", description="This process's name among several that write one run.")
    journal_max_bytes: int = Field(
        16 * 1024 * MIB, ge=MIB, description="Bytes a journal may hold that were not delivered yet."
    )
    journal_when_full: Literal["block", "drop"] = Field(
        "drop",
        description="At that bound: drop rows and count them, or block log() while a sender may still make room.",
    )
    media_max_bytes: int = Field(MEDIA_MAX_BYTES, ge=1, description="Bytes of the largest media file that is logged.")
    keep_journal: bool = Field(False, description="Keep a journal that was delivered whole.")
    compression: Literal["lz4", "zstd", "none"] = Field("lz4", description="How batches are compressed for Kafka.")
    poll_seconds: float = Field(0.05, gt=0, le=10, description="How often the sender looks for new rows, in seconds.")
    retry_seconds: float = Field(2.0, gt=0, le=300, description="Time between attempts to reach the brokers, seconds.")
    system_seconds: float = Field(
        15.0, ge=0, le=86_400, description="Seconds between two samples of the system metrics; 0: none are taken."
    )
    console: Literal["auto", "redirect", "off"] = Field(
        "auto",
        description="What a run keeps of its console output: auto, what Python's sys.stdout and sys.stderr write;"
        " redirect, what file descriptors 1 and 2 get, so that of subprocesses and C code too; off, nothing.",
    )
    quiet: bool = Field(False, description="Say nothing but warnings.")

    def __init__(self, **given: Any) -> None:
        """Take settings above the environment. Raises: SettingsError, naming the setting and the rule."""
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = "_".join(str(part) for part in first["loc"])
            rule = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"setting {name} (STEPWELL_{name.upper()}): {rule}" if name else rule) from error

    @model_validator(mode="before")
    @classmethod
    def _take_wandbs_names(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        taken = dict(given)
        for name, where in SETTINGS_ELSEWHERE.items():
            if taken.pop(name, None):
                raise ValueError(f"{name} is wandb's setting and not there: {where}")
        for name, ours in _WANDBS_OTHER_NAMES.items():
            if taken.get(name) is not None:
                taken[ours] = taken.pop(name)
        seconds = taken.pop("x_stats_sampling_interval", None)
        if seconds is not None:
            taken["system_seconds"] = seconds
        if taken.pop("x_disable_stats", None) or taken.pop("_disable_stats", None):
            taken["system_seconds"] = 0.0
        if taken.get("console") in _WANDBS_WRAP:
            taken["console"] = "auto"
        for name in taken.keys() - cls.model_fields.keys():
            if close := get_close_matches(name, cls.model_fields, 1, _TYPO):
                raise ValueError(f"there is no setting {name!r}; is it {close[0]}?")
            if not name.startswith(("x_", "_")):
                say_once(f"the setting {name} is not Stepwell's and changes nothing")
        return taken


def make_settings(
    given: ProducerSettings | Mapping[str, Any] | None, folder: str | PathLike[str] | None
) -> ProducerSettings:
    """Return the settings of a run: what `init()` was given above the environment. Raises: SettingsError."""
    over = {} if folder is None else {"dir": Path(folder)}
    if isinstance(given, ProducerSettings):
        return given.model_copy(update=over)
    return ProducerSettings(**{**dict(given or {}), **over})
