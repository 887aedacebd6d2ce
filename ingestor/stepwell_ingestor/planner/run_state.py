"""The ingestor's state of a run between flushes, and the run's document."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from stepwell_ingestor.planner.arrivals import Gaps
from stepwell_ingestor.planner.content import SessionContent
from stepwell_ingestor.planner.layers import Known, Layer, entry_bytes
from stepwell_ingestor.planner.totals import NO_COUNTS, Counts, SeriesTotals
from stepwell_schemas.errors import shorten
from stepwell_schemas.events.models import RunFinished, RunStarted, RunUpdated
from stepwell_schemas.limits import DOCUMENT_MAX_BYTES
from stepwell_schemas.rules.json_text import JsonObject, JsonTextError, json_members
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.steps import NO_STEP, StepState

SeriesId = tuple[str, str, str]
"""A series within its run: its key, as stored, its kind, and its writer."""

OpenId = tuple[str, str]
"""A number series within its run: its key and its writer."""

_STATE_BYTES: Final = 2_000
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
        self.state, self.exit_code, self.finished_at = "running", None, None
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
        self.run_group, self.job_type = self.run_group or event.group, self.job_type or event.job_type
        self._complete(event.display_name, event.tags, event.notes, unnamed=event.run_id)

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
        self.tags = self.tags if event.tags is None else tuple(event.tags)
        self.notes = self.notes if event.notes is None else event.notes

    def finish(self, event: RunFinished, at: int) -> None:
        """Apply the run's end."""
        self.state, self.exit_code, self.finished_at = event.state, event.exit_code, at


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


NEXT_STEP: Final = "next_step"


@dataclass
class RunState:
    """A run's ingest state.

    `writers`: each writer's current step, the highest that its rows reached. `begun`: the last step at which each
    writer has begun a row without advancing. `lines`: by session, whether its steps are final (see `session_steps`);
    sessions that don't begin a line are missing if their steps are final. `sessions`: each journal's next sequence
    number. `gaps`: the ranges of missing records of each journal, () if all were filled (see `arrivals`).
    `spellings`: the stored key of each folded key. `stored_as`: the stored key of each known spelling.
    `series`: the totals of each series. `counts`: what became of the run's records; `session_counts`: the same of each
    session; `contents`: the content of each session's rows. `counters`: `next_step`, the step after the last one in the
    run's own rows. `open_buckets`: the rollup rows of each number series' open buckets (see `rollups.rows`); they are
    not stored and may be unknown. Everything else is a function of the log up to an offset.

    `bytes`: approximate memory of the state; `open_bytes`: the part of it used by the open buckets. Those of a fork
    exclude its changes.
    """

    writers: Known[str, int] = field(default_factory=dict)
    sessions: Known[str, int] = field(default_factory=dict)
    spellings: Known[str, str] = field(default_factory=dict)
    stored_as: Known[str, str] = field(default_factory=dict)
    series: Known[SeriesId, SeriesTotals] = field(default_factory=dict)
    document: RunDocument | None = None
    counters: Known[str, int] = field(default_factory=dict)
    counts: Counts = NO_COUNTS
    session_counts: Known[str, Counts] = field(default_factory=dict)
    open_buckets: Known[OpenId, bytes] = field(default_factory=dict, compare=False)
    bytes: int = field(default=0, compare=False)
    open_bytes: int = field(default=0, compare=False)
    parent: RunState | None = field(default=None, compare=False, repr=False)
    begun: Known[str, int] = field(default_factory=dict)
    lines: Known[str, int] = field(default_factory=dict)
    contents: Known[str, SessionContent] = field(default_factory=dict)
    gaps: Known[str, Gaps] = field(default_factory=dict)

    def writer(self, name: str) -> StepState:
        """Return the state of a writer."""
        current = self.writers.get(name, 0)
        return StepState(current, self.begun.get(name, NO_STEP) == current)

    def wrote(self, name: str, after: StepState) -> None:
        """Record the state that a writer's rows have reached, unless others have reached a higher step."""
        if after.current >= self.writers.get(name, 0):
            self.writers[name] = after.current
            if after.begun:
                self.begun[name] = after.current

    def reached(self, step: int) -> None:
        """Record that the run's own rows have reached a step."""
        self.counters[NEXT_STEP] = max(self.counters.get(NEXT_STEP, 0), step + 1)

    def resume(self, writer: str) -> None:
        """Continue a writer after the run's last step, so that it does not write into rows of an earlier session."""
        self.writers[writer] = max(self.writers.get(writer, 0), self.counters.get(NEXT_STEP, 0))

    def stored_key(self, key: str) -> tuple[str, str]:
        """Return the stored spelling of a key, and its folded form if the spelling is new ("" otherwise)."""
        stored = self.stored_as.get(key)
        if stored is not None:
            return stored, ""
        folded = fold_key(key)
        stored = self.stored_as[key] = self.spellings.setdefault(folded, key)
        return stored, folded

    def fork(self) -> RunState:
        """Return a copy-on-write copy, at a cost that does not depend on the state's size."""
        return RunState(
            Layer(self.writers), Layer(self.sessions), Layer(self.spellings), Layer(self.stored_as),
            Layer(self.series), self.document, Layer(self.counters), self.counts, Layer(self.session_counts),
            Layer(self.open_buckets), self.bytes, self.open_bytes, self, Layer(self.begun), Layer(self.lines),
            Layer(self.contents), Layer(self.gaps),
        )  # fmt: skip

    def settle(self) -> RunState:
        """Apply the changes to the state that this one was forked from, and return that state."""
        below = self.parent
        if below is None:
            return self
        for ledger, of_below in zip(self._ledgers(), below._ledgers(), strict=True):
            # Skip open buckets that were evicted in the meantime.
            if isinstance(ledger, Layer) and ledger.base is of_below:
                # Values of the other ledgers keep their sizes.
                grown = ledger.growth() if ledger is self.gaps else 0
                added = ledger.settle() + grown
                below.bytes += added
                below.open_bytes += added if ledger is self.open_buckets else 0
        below.counts = self.counts
        if self.document is not below.document:
            below.bytes += _document_bytes(self.document) - _document_bytes(below.document)
            below.document = self.document
        return below

    def forget_open_buckets(self) -> None:
        """Drop the open buckets; they are computed from stored points when needed."""
        self.open_buckets = {}
        self.bytes, self.open_bytes = self.bytes - self.open_bytes, 0

    def measure(self) -> None:
        """Set `bytes` from the content of a loaded state, which never has open buckets."""
        entries = (item for known in self._ledgers() for item in known.items())
        self.bytes = _STATE_BYTES + _document_bytes(self.document) + sum(entry_bytes(*entry) for entry in entries)

    def numbers(self) -> dict[str, Known[str, int]]:
        """Return the numbers that the table of states stores, by its scopes."""
        return {
            "writer": self.writers, "begun": self.begun, "line": self.lines, "session": self.sessions,
            "run": self.counters,
        }  # fmt: skip

    def _ledgers(self) -> tuple[Known[Any, Any], ...]:
        return (
            self.writers, self.sessions, self.spellings, self.stored_as, self.series, self.counters,
            self.session_counts, self.open_buckets, self.begun, self.lines, self.contents, self.gaps,
        )  # fmt: skip


def _document_bytes(document: RunDocument | None) -> int:
    return 0 if document is None else document.bytes
