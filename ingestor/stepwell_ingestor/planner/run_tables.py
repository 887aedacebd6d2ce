"""Build the rows about runs: activity, conflicts, documents and spellings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final, NamedTuple

import pyarrow as pa

from stepwell_ingestor.planner.arrow import MILLISECONDS, PATH_FIELDS, build_table, row_type
from stepwell_ingestor.planner.columns import Int64s, bounds
from stepwell_ingestor.planner.content import CONTENT_TOTALS, NO_CONTENT, SessionContent
from stepwell_ingestor.planner.layers import Layer
from stepwell_ingestor.planner.run_document import RunDocument
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.state_rows import STATE_ROW, state_rows
from stepwell_ingestor.planner.totals import NO_COUNTS, RUN_TOTALS, SESSION_TOTALS, Counts, add_counts
from stepwell_schemas.rules.identifiers import RunPath

_NO_LAST_STEP = -(2**63)
_DOCUMENT_TEXTS: Final = (
    "display_name", "state", "notes", "run_group", "job_type", "client", "host", "program", "git_commit",
)  # fmt: skip
_counts: Final[Callable[[Activity], tuple[int, ...]]] = attrgetter(*Counts._fields)
_document_texts: Final[Callable[[RunDocument], tuple[str, ...]]] = attrgetter(*_DOCUMENT_TEXTS)

_TEXT, _I64, _U64 = pa.string(), pa.int64(), pa.uint64()
_ACTIVITY: Final = row_type(
    PATH_FIELDS
    | {"first_timestamp": MILLISECONDS, "last_timestamp": MILLISECONDS, "last_step": _I64, "last_offset": _I64}
    | {"totals": RUN_TOTALS}
)
_SESSION: Final = row_type(
    PATH_FIELDS
    | {"session": _TEXT, "writer": _TEXT, "next_sequence": _I64, "last_offset": _I64}
    | {"totals": SESSION_TOTALS, "content": CONTENT_TOTALS}
)
_CONFLICT: Final = row_type(
    PATH_FIELDS | {"writer": _TEXT, "asked_step": _I64, "step": _I64, "timestamp": MILLISECONDS, "version": _U64}
)
_DOCUMENT: Final = row_type(
    PATH_FIELDS
    | dict.fromkeys(_DOCUMENT_TEXTS, _TEXT)
    | {"exit_code": pa.int32(), "config": _TEXT, "summary": _TEXT, "tags": pa.list_(_TEXT), "metric_definitions": _TEXT}
    | {"git_dirty": pa.bool_(), "stop_requested": pa.bool_()}
    | {"created_at": MILLISECONDS, "started_at": MILLISECONDS, "finished_at": MILLISECONDS, "version": _U64}
)
_SPELLING: Final = row_type(PATH_FIELDS | {"folded": _TEXT, "spelling": _TEXT, "first_version": _U64})
_FILE: Final = row_type(PATH_FIELDS | {"sha256": _TEXT, "size": _U64, "content_type": _TEXT, "version": _U64})


class Conflict(NamedTuple):
    """A call with a step below its writer's current one: the requested step, the step used, the time (µs)."""

    path: RunPath
    writer: str
    asked_step: int
    step: int
    timestamp: int
    version: int


class MediaFile(NamedTuple):
    """A media file logged by a run: SHA-256, size in bytes, content type, and the version of its row."""

    path: RunPath
    sha256: str
    size: int
    content_type: str
    version: int


@dataclass(slots=True)
class Activity:
    """Contribution of events to a run's or session's activity; timestamps in µs."""

    first_timestamp: int = 2**62
    last_timestamp: int = 0
    last_step: int = _NO_LAST_STEP
    log_rows: int = 0
    points: int = 0
    conflicts: int = 0
    repeated: int = 0
    missing: int = 0
    dead_letters: int = 0
    last_offset: int = 0
    content: SessionContent = NO_CONTENT

    def add(self, other: Activity) -> None:
        """Add the activity of later events."""
        self.first_timestamp = min(self.first_timestamp, other.first_timestamp)
        self.last_timestamp = max(self.last_timestamp, other.last_timestamp)
        self.last_step = max(self.last_step, other.last_step)
        self.last_offset = max(self.last_offset, other.last_offset)
        self.log_rows += other.log_rows
        self.points += other.points
        self.conflicts += other.conflicts
        self.repeated += other.repeated
        self.missing += other.missing
        self.dead_letters += other.dead_letters
        if other.content is not NO_CONTENT:
            self.content = self.content.plus(other.content)

    def side_stream(self) -> Activity:
        """Return the activity of a run from rows of a side stream: only its timestamps and offset count."""
        return replace(self, last_step=_NO_LAST_STEP, log_rows=0, points=0)

    def saw(self, offset: int, timestamp: int) -> None:
        """Add an event."""
        self.last_offset = max(self.last_offset, offset)
        self.first_timestamp = min(self.first_timestamp, timestamp)
        self.last_timestamp = max(self.last_timestamp, timestamp)

    def changed(self, offset: int, state: RunState) -> None:
        """Add an edit, which is no sign of life: the times are some at which the run is known to have lived."""
        self.last_offset = max(self.last_offset, offset)
        if state.document is not None:
            self.first_timestamp = min(self.first_timestamp, state.document.created_at)
            self.last_timestamp = max(self.last_timestamp, state.document.started_at)

    def logged(self, steps: Int64s, timestamps: Int64s) -> None:
        """Add rows, given their steps and timestamps."""
        if len(steps):
            first, last = bounds(timestamps)
            self.log_rows += len(steps)
            self.last_step = max(self.last_step, bounds(steps)[1])
            self.first_timestamp = min(self.first_timestamp, first)
            self.last_timestamp = max(self.last_timestamp, last)


def add_up(parts: Sequence[Activity]) -> Activity:
    """Return the activity of one or more events; that of one event is returned itself."""
    if len(parts) == 1:
        return parts[0]
    total = Activity()
    for part in parts:
        total.add(part)
    return total


class Session(NamedTuple):
    """A journal of one writer of a run, or a redriven dead letter; events without a writer have an empty one."""

    path: RunPath
    name: str
    writer: str


def add_up_counts(
    states: Mapping[RunPath, RunState],
    activity: Mapping[RunPath, Activity],
    sessions: Mapping[Session, Activity],
) -> int:
    """Add the counts of a flush to those of its runs and sessions; return the number of counts that were clipped."""
    clipped = 0
    for path, part in activity.items():
        states[path].counts, over = add_counts(states[path].counts, Counts(*_counts(part)))
        clipped += over
    # Events of a session may have different writers. They are added up first, since `missing` of one may be negative.
    by_session: dict[tuple[RunPath, str], list[Activity]] = {}
    for session, part in sessions.items():
        by_session.setdefault((session.path, session.name), []).append(part)
    for (path, name), parts in by_session.items():
        part, known = add_up(parts), states[path].session_counts
        known[name], over = add_counts(known.get(name, NO_COUNTS), Counts(*_counts(part)))
        clipped += over
        if part.content != NO_CONTENT:
            contents = states[path].contents
            contents[name] = contents.get(name, NO_CONTENT).plus(part.content)
    return clipped


def run_tables(
    states: Mapping[RunPath, RunState],
    activity: Mapping[RunPath, Activity],
    sessions: Mapping[Session, Activity],
    conflicts: Sequence[Conflict],
    documents: Mapping[RunPath, int],
    spellings: Sequence[tuple[RunPath, str, str, int]],
    end: int,
    replaced: Mapping[RunPath, RunState] | None = None,
) -> dict[str, pa.Table]:
    """Build the rows about runs, by table, without empty tables.

    `documents` has the documents' versions. `replaced`: the states before the flush of runs that were deleted in it.
    """
    tables = {
        "step_conflict_log": ([_conflict(conflict) for conflict in conflicts], _CONFLICT),
        # Before the documents, which have no values from before the flush: only the states say that there was none.
        "run_states": (state_rows(states, end, replaced or {}), STATE_ROW),
        "run_documents": (
            [_document(path, _known(states[path]), version) for path, version in documents.items()],
            _DOCUMENT,
        ),
        "key_spellings": ([(*path, *spelling) for path, *spelling in spellings], _SPELLING),
        # After all tables that the views read: the progress of a run must not be ahead of its readable rows.
        "run_activity": ([_activity(path, part, states[path], end) for path, part in activity.items()], _ACTIVITY),
        # Last, so that everything that a receipt covers can be read.
        "session_activity": (
            [_session(session, part, states[session.path], end) for session, part in sessions.items()],
            _SESSION,
        ),
    }
    return {name: build_table(rows, fields) for name, (rows, fields) in tables.items() if rows}


def media_table(files: Sequence[MediaFile]) -> pa.Table:
    """Build rows of the table `media_files`."""
    return build_table([(*path, *file) for path, *file in files], _FILE)


def _known(state: RunState) -> RunDocument:
    assert state.document is not None  # noqa: S101 - a document is there before its version is
    return state.document


def _milliseconds(microseconds: int | None) -> int | None:
    return None if microseconds is None else microseconds // 1_000


def _activity(path: RunPath, part: Activity, state: RunState, end: int) -> tuple[Any, ...]:
    assert state.parent is not None  # noqa: S101 - states of a flush are forks
    return (
        *path, _milliseconds(part.first_timestamp), _milliseconds(part.last_timestamp), part.last_step,
        part.last_offset, (end, *state.counts[:-1], *state.parent.counts[:-1]),
    )  # fmt: skip


def _session(session: Session, part: Activity, state: RunState, end: int) -> tuple[Any, ...]:
    known, contents = state.session_counts, state.contents
    assert isinstance(known, Layer)  # noqa: S101 - states of a flush are forks
    assert isinstance(contents, Layer)  # noqa: S101 - states of a flush are forks
    return (
        *session.path, session.name, session.writer, state.sessions.get(session.name, 0), part.last_offset,
        (end, *known[session.name], *known.base.get(session.name, NO_COUNTS)),
        (end, *contents.get(session.name, NO_CONTENT), *contents.base.get(session.name, NO_CONTENT)),
    )  # fmt: skip


def _conflict(conflict: Conflict) -> tuple[Any, ...]:
    path, writer, asked, step, timestamp, version = conflict
    return (*path, writer, asked, step, _milliseconds(timestamp), version)


def _document(path: RunPath, document: RunDocument, version: int) -> tuple[Any, ...]:
    return (
        *path, *_document_texts(document), document.exit_code, document.config.text(), document.summary.text(),
        document.tags, f"[{', '.join(document.metric_definitions.values())}]", document.git_dirty,
        document.stop_requested,
        _milliseconds(document.created_at), _milliseconds(document.started_at), _milliseconds(document.finished_at),
        version,
    )  # fmt: skip
