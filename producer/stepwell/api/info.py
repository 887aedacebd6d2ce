"""Attributes of a stored run, with wandb's names."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from stepwell.api.compat import RUN_ATTRIBUTES, RUN_CALLS, edit_remedy, missing_name
from stepwell.api.edits import TEXTS, Drafts, SummaryDraft
from stepwell.api.http import ApiHttp
from stepwell.api.paths import run_url
from stepwell.api.run_origin import RunOrigin
from stepwell.api.views import read_only
from stepwell.errors import UnsupportedError
from stepwell.values.arrays import restore_value
from stepwell.values.metadata import parse_tags, restore_floats
from stepwell_schemas.rules.identifiers import RunPath

EXACT: Final = {"nan": "literal"}
"""Request NaN and ±Inf as bare words, which Python's JSON parses as floats, so that the text "NaN" stays a text."""

Row = dict[str, Any]

_MEMBERS: Final = {"display_name": "name", "description": "notes", "updated_at": "heartbeat_at", "storage_id": "id"}
_CAPITAL: Final = re.compile("(?=[A-Z])")
_POLL_SECONDS: Final = 5.0
CHANGE_WAIT_SECONDS: Final = 10.0
"""Seconds for which a change waits to be stored; it is in the log before, so that it is not lost."""


class RunInfo(RunOrigin):
    """Attributes of a run in the service; `info` is the service's JSON document.

    Its members are attributes, too (`heartbeat_at`, `exit_code`, `duration`, …), also in wandb's spelling
    (`heartbeatAt`). `name`, `notes`, `tags`, `group`, `job_type`, `config` and `summary` can be changed; `update()`
    sends the changes. Setting any other attribute raises UnsupportedError.
    """

    run_path: RunPath

    def __init__(self, api: ApiHttp, path: RunPath, info: Mapping[str, Any]) -> None:
        self._api = api
        self.run_path = path
        self.info = info
        self._drafts = Drafts(path.run_id)

    def __getstate__(self) -> dict[str, Any]:
        # Copies begin with what is stored.
        return {**self.__dict__, "_drafts": Drafts(self.run_path.run_id)}

    def __repr__(self) -> str:
        return f"<Run {self.run_path} ({self.state})>"

    def __getattr__(self, name: str) -> Any:
        # An object that is being unpickled has no attributes yet.
        info = self.__dict__.get("info", {})
        member = _CAPITAL.sub("_", name).lower()
        member = _MEMBERS.get(member, member)
        if member != name and member in _PROPERTIES:
            return getattr(self, member)
        if member in info:
            return read_only(info[member], edit_remedy(member))
        return missing_name("run", name, RUN_CALLS, RUN_ATTRIBUTES)

    def __setattr__(self, name: str, value: Any) -> None:
        member = _MEMBERS.get(name, name)
        if member in _CHANGEABLE:
            object.__setattr__(self, member, value)
        elif member in _PROPERTIES or member in self.__dict__.get("info", {}):
            raise UnsupportedError(edit_remedy(member))
        else:
            object.__setattr__(self, name, value)

    def update(self) -> None:
        """Send what was changed; return when it is stored, or after 10 s. Raises: ApiError, RunNotFoundError."""
        self._send_changes("")

    save = update

    def _send_changes(self, only: str) -> None:
        changes = self._drafts.changes(only)
        if changes:
            self._api.send("PATCH", run_url(self.run_path), changes, wait=CHANGE_WAIT_SECONDS)
            self._drafts.note_sent(only)
            self.info = self._api.get(run_url(self.run_path), **EXACT)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run_path.run_id

    @property
    def entity(self) -> str:
        """The entity that the run belongs to."""
        return self.run_path.entity

    @property
    def project(self) -> str:
        """The run's project."""
        return self.run_path.project

    @property
    def path(self) -> list[str]:
        """Entity, project and run id."""
        return list(self.run_path)

    @property
    def name(self) -> str:
        """The display name."""
        return self._drafts.text("name") or str(self.info.get("name") or self.id)

    @name.setter
    def name(self, value: str | None) -> None:
        self._drafts.set_text("name", value)

    @property
    def state(self) -> str:
        """`running`, `finished`, `failed`, `killed` or `crashed`."""
        return str(self.info.get("state", ""))

    @property
    def tags(self) -> list[str]:
        """The tags, a list that can be changed."""
        return self._drafts.tags(lambda: list(self.info.get("tags") or ()))

    @tags.setter
    def tags(self, value: Iterable[str]) -> None:
        self.tags[:] = parse_tags(value)

    @property
    def config(self) -> dict[str, Any]:
        """The run's configuration, a dict that can be changed."""
        return self._drafts.values("config", lambda: restore_floats(dict(self._full_info().get("config") or {})))

    @config.setter
    def config(self, value: Mapping[str, Any]) -> None:
        _replace("config", self.config, value)

    @property
    def summary(self) -> SummaryDraft:
        """Each metric's last value, or the summary that `define_metric` requests, as a dict that can be changed.

        A value that is set here holds over the metric's own one. `summary.update()` sends the changes.
        """

        def read() -> dict[str, Any]:
            return SummaryDraft(
                restore_row(self._full_info().get("summary") or {}), lambda: self._send_changes("summary")
            )

        draft = self._drafts.values("summary", read)
        assert isinstance(draft, SummaryDraft)  # noqa: S101 - as it was read
        return draft

    @summary.setter
    def summary(self, value: Mapping[str, Any]) -> None:
        _replace("summary", self.summary, value)

    @property
    def rawconfig(self) -> dict[str, Any]:
        """The same as `config`: no values are hidden in it."""
        return self.config

    @property
    def summary_metrics(self) -> SummaryDraft:
        """The same as `summary`."""
        return self.summary

    @property
    def json_config(self) -> str:
        """The configuration in wandb's JSON, with each value as `{"value": …}`."""
        return json.dumps({key: {"value": value, "desc": None} for key, value in self.config.items()})

    def _full_info(self) -> Mapping[str, Any]:
        """Return the document with the full config and summary; lists of runs hold 500 columns of them."""
        if self.info.get("partial"):
            self.info = self._api.get(run_url(self.run_path), **EXACT)
        return self.info

    def load(self, force: bool = False) -> Mapping[str, Any]:
        """Return the service's document; with `force`, read it again, and drop unsent changes. Raises: ApiError."""
        if force:
            self._drafts = Drafts(self.run_path.run_id)
            self.info = self._api.get(run_url(self.run_path), **EXACT)
        return self.info

    def load_full_data(self, force: bool = False) -> Mapping[str, Any]:
        """Return the service's document with all of config and summary. Raises: ApiError."""
        self.load(force)
        return self._full_info()

    def wait_until_finished(self) -> None:
        """Return when the run is no longer running; requests its state every 5 s. Raises: ApiError."""
        while self.load(force=True).get("state") == "running":
            time.sleep(_POLL_SECONDS)

    @property
    def lastHistoryStep(self) -> int:  # noqa: N802 - wandb's name
        """The last logged step; -1 if there is none."""
        last = self.info.get("last_step")
        return -1 if last is None else int(last)

    @property
    def url(self) -> str:
        """The URL of the run's page."""
        return f"{self._api.base_url}/{run_url(self.run_path).partition('/')[2]}"

    @property
    def notes(self) -> str:
        """The notes."""
        return self._text("notes")

    @notes.setter
    def notes(self, value: str | None) -> None:
        self._drafts.set_text("notes", value)

    @property
    def group(self) -> str:
        """The run's group."""
        return self._text("group")

    @group.setter
    def group(self, value: str | None) -> None:
        self._drafts.set_text("group", value)

    @property
    def job_type(self) -> str:
        """The run's job type."""
        return self._text("job_type")

    @job_type.setter
    def job_type(self, value: str | None) -> None:
        self._drafts.set_text("job_type", value)

    def _text(self, name: str) -> str:
        draft = self._drafts.text(name)
        return str(self.info.get(name) or "") if draft is None else draft

    @property
    def sweep(self) -> None:
        """None: a run belongs to no sweep; see `group`."""
        return

    @property
    def sweep_name(self) -> None:
        """None: a run belongs to no sweep; see `group`."""
        return


_PROPERTIES: Final = frozenset(
    name for kind in RunInfo.__mro__ for name, member in vars(kind).items() if isinstance(member, property)
)
_CHANGEABLE: Final = frozenset({*TEXTS, "tags", "config", "summary"})


def _replace(name: str, draft: dict[str, Any], value: Mapping[str, Any]) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: must be a mapping, not {type(value).__name__}")
    given = dict(value)
    draft.clear()
    # Not the method of the summary, which sends the changes.
    dict.update(draft, given)


def restore_row(row: Mapping[str, Any]) -> Row:
    """Return a row with lists and arrays restored."""
    return {key: restore_value(value) for key, value in row.items()}
