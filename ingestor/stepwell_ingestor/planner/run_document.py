"""The run's document: what its starts, changes and end say of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from stepwell_schemas.errors import shorten
from stepwell_schemas.events.models import RunFinished, RunStarted, RunUpdated
from stepwell_schemas.limits import DOCUMENT_MAX_BYTES
from stepwell_schemas.rules.json_text import JsonObject, JsonTextError, json_members

_MEMBER_BYTES: Final = 200


@dataclass
class RunDocument:
    """The run's metadata; times are microseconds since the epoch, JSON as objects.

    A change that is refused raises ValueError and changes nothing.
    """

    display_name: str
    created_at: int
    started_at: int
    state: str = "running"
    exit_code: int | None = None
    config: JsonObject = field(default_factory=JsonObject)
    summary: JsonObject = field(default_factory=JsonObject)
    tags: tuple[str, ...] = ()
    notes: str = ""
    run_group: str = ""
    job_type: str = ""
    metric_definitions: JsonObject = field(default_factory=JsonObject)
    client: str = ""
    host: str = ""
    finished_at: int | None = None
    program: str = ""
    git_commit: str = ""
    git_dirty: bool | None = None
    stop_requested: bool = False

    @property
    def bytes(self) -> int:
        """Approximate memory of the document, in bytes."""
        names = (self.display_name, self.run_group, self.job_type, self.client, self.host)
        texts = (*names, self.notes, self.program, self.git_commit, *self.tags)
        objects = (self.config, self.summary, self.metric_definitions)
        members = sum(map(len, objects))
        return sum(map(len, texts)) + sum(one.bytes for one in objects) + _MEMBER_BYTES * (members + len(texts))

    def copy(self) -> RunDocument:
        """Return an independent copy."""
        return replace(
            self,
            config=self.config.copy(),
            summary=self.summary.copy(),
            metric_definitions=self.metric_definitions.copy(),
        )

    def start(self, event: RunStarted, at: int) -> None:
        """Apply a start or a resumption; fields that the event leaves empty keep their values.

        The start of a rank that does not describe the run has a writer and no client. Such a start may arrive after the
        run's end, and only adds its config.
        """
        config = _bounded("config", self.config, _members("config", event.config))
        self.config.merge(config)
        if event.writer and self.client and not event.client:
            return
        self.display_name = event.display_name or self.display_name
        self.started_at = at
        self.state, self.exit_code, self.finished_at, self.stop_requested = "running", None, None, False
        self.tags = tuple(event.tags) or self.tags
        self.notes = event.notes or self.notes
        self.run_group = event.group or self.run_group
        self.job_type = event.job_type or self.job_type
        self.client = event.client or self.client
        self.host = event.host or self.host
        self.program = event.program or self.program
        if event.git_commit:
            self.git_commit, self.git_dirty = event.git_commit, event.git_dirty

    def complete_start(self, event: RunStarted, at: int) -> None:
        """Apply a start that arrives after other records of its session: add what is not known, replace nothing."""
        config = _bounded("config", self.config, _unknown(self.config, _members("config", event.config)))
        self.config.merge(config)
        if not self.client and event.client:
            # No start has described the run yet.
            self.created_at, self.started_at = min(self.created_at, at), min(self.started_at, at)
            self.client, self.host, self.program = event.client, event.host, event.program
            self.git_commit, self.git_dirty = event.git_commit, event.git_dirty
        self._complete(event.display_name, event.tags, event.notes, unnamed=event.run_id)
        self.run_group, self.job_type = self.run_group or event.group, self.job_type or event.job_type

    def complete_update(self, event: RunUpdated) -> None:
        """Apply a change that arrives after other records of its session: add what is not known, replace nothing."""
        config = _bounded("config", self.config, _unknown(self.config, _members("config", event.config)))
        summary = _bounded("summary", self.summary, _unknown(self.summary, _members("summary", event.summary)))
        definitions = _unknown(self.metric_definitions, _definitions(event))
        _bounded("metrics", self.metric_definitions, definitions)
        self.config.merge(config)
        self.summary.merge(summary)
        self.metric_definitions.merge(definitions)
        self._complete(event.display_name, event.tags, event.notes, unnamed=event.run_id)
        self.run_group = self.run_group or event.group or ""
        self.job_type = self.job_type or event.job_type or ""

    def _complete(self, name: str | None, tags: Sequence[str] | None, notes: str | None, *, unnamed: str) -> None:
        """Set what is empty. `unnamed`: the name of a run that has no other name."""
        self.display_name = name or unnamed if self.display_name == unnamed else self.display_name
        self.tags = self.tags or tuple(tags or ())
        self.notes = self.notes or notes or ""

    def update(self, event: RunUpdated) -> None:
        """Apply a change."""
        config = _bounded("config", self.config, _members("config", event.config), event.config_remove)
        summary = _bounded("summary", self.summary, _members("summary", event.summary), event.summary_remove)
        definitions = _definitions(event)
        _bounded("metrics", self.metric_definitions, definitions)
        self.config.merge(config, event.config_remove)
        self.summary.merge(summary, event.summary_remove)
        # In the order of definition: a repeated definition moves to the end.
        self.metric_definitions.move_last(definitions)
        self.display_name = self.display_name if event.display_name is None else event.display_name
        self.tags = _tags(self.tags if event.tags is None else event.tags, event.tags_add, event.tags_remove)
        self.notes = self.notes if event.notes is None else event.notes
        self.run_group = self.run_group if event.group is None else event.group
        self.job_type = self.job_type if event.job_type is None else event.job_type
        self.stop_requested = self.stop_requested if event.stop_requested is None else event.stop_requested

    def finish(self, event: RunFinished, at: int) -> None:
        """Apply the run's end."""
        self.state, self.exit_code, self.finished_at = event.state, event.exit_code, at


def _tags(tags: Sequence[str], added: Sequence[str], removed: Sequence[str]) -> tuple[str, ...]:
    """Return labels with some added after the others, and without the removed ones."""
    if not added and not removed:
        return tuple(tags)
    return tuple(tag for tag in dict.fromkeys((*tags, *added)) if tag not in removed)


def _members(name: str, text: str) -> dict[str, str]:
    try:
        return json_members(text)
    except JsonTextError as error:
        raise ValueError(f"{name} {shorten(text)}: {error}") from None


def _definitions(event: RunUpdated) -> dict[str, str]:
    return {definition.name: json.dumps(definition.model_dump()) for definition in event.metrics}


def _unknown(known: JsonObject, members: dict[str, str]) -> dict[str, str]:
    """Return the members that an object does not have yet."""
    return {key: value for key, value in members.items() if key not in known}


def _bounded(name: str, known: JsonObject, new: dict[str, str], removed: Sequence[str] = ()) -> dict[str, str]:
    """Return the new members. Raises: ValueError if the object would become too large."""
    size = known.bytes + known.growth(new, removed)
    if size > DOCUMENT_MAX_BYTES and size > known.bytes:
        raise ValueError(f"{name}: would have {size:,} bytes; the limit is {DOCUMENT_MAX_BYTES:,}")
    return new
