"""Rows about runs: activity, conflicts, documents, spellings, and the state that the next flush begins from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_ingestor.state import RunDocument, RunState
from stepwell_schemas.identifiers import RunPath

NOT_THERE = -1
"""What stands for "before this flush, it was not there" in the table of states."""

_MILLISECONDS = pa.timestamp("ms", "UTC")
_NO_LAST_STEP = -(2**63)
_COUNTS: Final = ("log_rows", "points", "conflicts", "repeated", "missing", "dead_letters")


class Conflict(NamedTuple):
    """A call whose step lay below its writer's current one: what was asked, what was done, when (µs)."""

    path: RunPath
    writer: str
    asked_step: int
    step: int
    timestamp: int
    version: int


class MediaFile(NamedTuple):
    """A media file that a run logged, by its content: bytes, media type, and the version of its row."""

    path: RunPath
    sha256: str
    size: int
    content_type: str
    version: int


@dataclass
class Activity:
    """What events add to what is known of one run's doings; timestamps in µs."""

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

    def add(self, other: Activity) -> None:
        """Take in what later events did."""
        self.first_timestamp = min(self.first_timestamp, other.first_timestamp)
        self.last_timestamp = max(self.last_timestamp, other.last_timestamp)
        self.last_step = max(self.last_step, other.last_step)
        self.last_offset = max(self.last_offset, other.last_offset)
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def beside(self) -> Activity:
        """Return what rows of a stream beside the run's own add to what is known of the run: a sign of life."""
        return replace(self, last_step=_NO_LAST_STEP, log_rows=0, points=0)

    def saw(self, offset: int, timestamp: int) -> None:
        """Take in an event."""
        self.last_offset = max(self.last_offset, offset)
        self.first_timestamp = min(self.first_timestamp, timestamp)
        self.last_timestamp = max(self.last_timestamp, timestamp)

    def logged(self, steps: NDArray[np.int64], timestamps: NDArray[np.int64]) -> None:
        """Take in rows, by their steps and timestamps."""
        if len(steps):
            self.log_rows += len(steps)
            self.last_step = max(self.last_step, int(steps[-1]))
            self.first_timestamp = min(self.first_timestamp, int(timestamps.min()))
            self.last_timestamp = max(self.last_timestamp, int(timestamps.max()))


class Session(NamedTuple):
    """A journal of one writer of a run, or a dead letter that was sent again."""

    path: RunPath
    name: str
    writer: str


def run_tables(
    states: Mapping[RunPath, RunState],
    before: Mapping[RunPath, RunState],
    activity: Mapping[RunPath, Activity],
    sessions: Mapping[Session, Activity],
    conflicts: Sequence[Conflict],
    documents: Mapping[RunPath, int],
    spellings: Sequence[tuple[RunPath, str, str, int]],
    end: int,
) -> dict[str, pa.Table]:
    """Return the rows about runs, by table; tables without rows are left out. `documents` gives versions."""
    tables = {
        "step_conflict_log": _conflicts(conflicts),
        "run_documents": _documents({path: (_known(states[path]), documents[path]) for path in documents}),
        "key_spellings": _spellings(spellings),
        "run_states": _states(states, before, end),
        # After all that views are made of: what says how far a run is stored promises no more than can be read.
        "run_activity": _activity(activity),
        # Last, so that what a receipt says is stored can be read.
        "session_activity": _sessions(sessions, states),
    }
    return {name: table for name, table in tables.items() if len(table)}


def media_table(files: Sequence[MediaFile]) -> pa.Table:
    """Return files as rows of the table `media_files`."""
    return pa.table(
        _paths([file.path for file in files])
        | {
            "sha256": pa.array([file.sha256 for file in files], pa.string()),
            "size": pa.array([file.size for file in files], pa.uint64()),
            "content_type": pa.array([file.content_type for file in files], pa.string()),
            "version": pa.array([file.version for file in files], pa.uint64()),
        }
    )


def _known(state: RunState) -> RunDocument:
    assert state.document is not None  # noqa: S101 - a document is there before its version is
    return state.document


def _paths(paths: Sequence[RunPath]) -> dict[str, Any]:
    return {
        field: pa.array([getattr(path, field) for path in paths], pa.string())
        for field in ("entity", "project", "run_id")
    }


def _times(microseconds: Sequence[int | None]) -> pa.Array:
    return pa.array([None if at is None else at // 1_000 for at in microseconds], pa.int64()).cast(_MILLISECONDS)


def _activity(activity: Mapping[RunPath, Activity]) -> pa.Table:
    parts = list(activity.values())
    return pa.table(
        _paths(list(activity))
        | {
            "first_timestamp": _times([part.first_timestamp for part in parts]),
            "last_timestamp": _times([part.last_timestamp for part in parts]),
            "last_step": pa.array([part.last_step for part in parts], pa.int64()),
            "last_offset": pa.array([part.last_offset for part in parts], pa.int64()),
        }
        | {
            name: pa.array([getattr(part, name) for part in parts], pa.uint64())
            for name in _COUNTS
            if name != "dead_letters"
        }
    )


def _sessions(sessions: Mapping[Session, Activity], states: Mapping[RunPath, RunState]) -> pa.Table:
    parts = list(sessions.values())
    reached = [states[session.path].sessions.get(session.name, 0) for session in sessions]
    return pa.table(
        _paths([session.path for session in sessions])
        | {
            "session": pa.array([session.name for session in sessions], pa.string()),
            "writer": pa.array([session.writer for session in sessions], pa.string()),
            "next_sequence": pa.array(reached, pa.int64()),
            "last_offset": pa.array([part.last_offset for part in parts], pa.int64()),
        }
        | {name: pa.array([getattr(part, name) for part in parts], pa.uint64()) for name in _COUNTS}
    )


def _conflicts(conflicts: Sequence[Conflict]) -> pa.Table:
    return pa.table(
        _paths([conflict.path for conflict in conflicts])
        | {
            "writer": pa.array([conflict.writer for conflict in conflicts], pa.string()),
            "asked_step": pa.array([conflict.asked_step for conflict in conflicts], pa.int64()),
            "step": pa.array([conflict.step for conflict in conflicts], pa.int64()),
            "timestamp": _times([conflict.timestamp for conflict in conflicts]),
            "version": pa.array([conflict.version for conflict in conflicts], pa.uint64()),
        }
    )


def _documents(documents: Mapping[RunPath, tuple[RunDocument, int]]) -> pa.Table:
    known = [document for document, _ in documents.values()]
    texts = ("display_name", "state", "notes", "run_group", "job_type", "client", "host")
    return pa.table(
        _paths(list(documents))
        | {name: pa.array([getattr(document, name) for document in known], pa.string()) for name in texts}
        | {
            "exit_code": pa.array([document.exit_code for document in known], pa.int32()),
            "config": pa.array([json.dumps(dict(document.config)) for document in known], pa.string()),
            "summary": pa.array([json.dumps(dict(document.summary)) for document in known], pa.string()),
            "tags": pa.array([list(document.tags) for document in known], pa.list_(pa.string())),
            "metric_definitions": pa.array(
                [json.dumps(list(document.metric_definitions.values())) for document in known], pa.string()
            ),
            "created_at": _times([document.created_at for document in known]),
            "started_at": _times([document.started_at for document in known]),
            "finished_at": _times([document.finished_at for document in known]),
            "version": pa.array([version for _, version in documents.values()], pa.uint64()),
        }
    )


def _spellings(spellings: Sequence[tuple[RunPath, str, str, int]]) -> pa.Table:
    return pa.table(
        _paths([path for path, *_ in spellings])
        | {
            "folded": pa.array([folded for _, folded, _, _ in spellings], pa.string()),
            "spelling": pa.array([spelling for _, _, spelling, _ in spellings], pa.string()),
            "first_version": pa.array([version for *_, version in spellings], pa.uint64()),
        }
    )


def _states(states: Mapping[RunPath, RunState], before: Mapping[RunPath, RunState], end: int) -> pa.Table:
    changed = [
        (path, scope, name, number, old.get(name, NOT_THERE))
        for path, state in states.items()
        for scope, new, old in (
            ("writer", state.writers, before[path].writers),
            ("session", state.sessions, before[path].sessions),
            ("run", state.counters, before[path].counters),
        )
        for name, number in new.items()
        if old.get(name) != number
    ]
    return pa.table(
        _paths([path for path, *_ in changed])
        | {
            "scope": pa.array([scope for _, scope, *_ in changed], pa.string()),
            "name": pa.array([name for _, _, name, *_ in changed], pa.string()),
            "offset": pa.array([end] * len(changed), pa.int64()),
            "number": pa.array([number for *_, number, _ in changed], pa.int64()),
            "previous_number": pa.array([previous for *_, previous in changed], pa.int64()),
        }
    )
