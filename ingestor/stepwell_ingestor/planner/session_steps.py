"""Decide the steps of a batch's rows: by the count of its session, or by the ingestor's count of the writer.

The SDK counts a session's steps, and each of its batches states the current step before its first row. Such steps are
final: they don't depend on the order in which sessions arrive. Two cases are counted here instead:

- producers that state no current step: other producers, side streams, and earlier versions of the SDK;
- a line of sessions (sessions that count on from one another) that began without knowing the run's last step, in a run
  that had such steps: its rows would replace those of other sessions.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.run_state import NEXT_STEP, RunState
from stepwell_schemas.events.models import LogBatch, RunStarted
from stepwell_schemas.rules.steps import NO_STEP, ResolvedSteps, StepState, resolve

FINAL: Final = 0
"""The steps of the session are final. Also of sessions of which no start is known: forked children."""

COUNTED: Final = 1
"""The ingestor counts, until a call of the session requests a step; from there on, the session's steps are final."""

REQUESTED: Final = 2
"""A session that was COUNTED, after its first requested step. Sessions that count on from it are not final."""

RESUMED: Final = 3
"""The ingestor counts, after the run's last step: requested steps below it are conflicts."""


class _Calls(NamedTuple):
    """The requested steps (None: no call requests one), commit codes (None: all default) and number of some rows."""

    asked: NDArray[np.int64] | None
    commits: NDArray[np.int8] | None
    rows: int

    def between(self, first: int, end: int) -> _Calls:
        """Return the rows [first, end)."""
        asked = None if self.asked is None else self.asked[first:end]
        commits = None if self.commits is None else self.commits[first:end]
        return _Calls(asked, commits, end - first)


def begin_session(state: RunState, event: RunStarted) -> None:
    """Decide whether the steps of a session are final, when it starts.

    A line of sessions is decided once, by the first of its starts that arrives: its steps are final if the run, or for
    a session that does not resume it the writer, has no step at or after the one at which the line began.
    """
    if event.lineage and event.session:
        line = state.lines.get(event.lineage)
        if line is None:
            reached = state.counters.get(NEXT_STEP, 0) if event.resumed else state.writers.get(event.writer, 0)
            line = state.lines[event.lineage] = FINAL if reached <= event.lineage_step else COUNTED
        if line != FINAL:
            state.lines[event.session] = RESUMED if event.resumed else COUNTED
    if event.resumed:
        state.resume(event.writer)


def resolve_batch(state: RunState, batch: LogBatch, skipped: int, *, late: bool) -> ResolvedSteps:
    """Return the steps of a batch's rows without the first `skipped`, and advance its writer.

    `late`: the batch is a redriven dead letter. If the ingestor counts, and the first row requests a step, requested
    steps are used as they are and the writer stays; otherwise the rows continue from the writer's current step.
    """
    asked = None if batch.steps is None else np.frombuffer(batch.steps, "<i8")
    commits = None if batch.commits is None else np.frombuffer(batch.commits, np.int8)
    calls = _Calls(asked, commits, batch.rows)
    line = FINAL if batch.current_step is None else state.lines.get(batch.session, FINAL)
    if batch.current_step is not None and line in {FINAL, REQUESTED}:
        return _by_session(state, batch, calls, skipped)
    if batch.current_step is not None and line == COUNTED and asked is not None:
        requesting = np.flatnonzero(asked[skipped:] != NO_STEP)
        if len(requesting):
            state.lines[batch.session] = REQUESTED
            return _by_writer_then_session(state, batch, calls, skipped, skipped + int(requesting[0]))
    rest = calls.between(skipped, batch.rows)
    if late and rest.asked is not None and rest.rows and rest.asked[0] != NO_STEP:
        return resolve(StepState(), *rest)
    return _by_writer(state, batch.writer, rest)


def _by_writer(state: RunState, writer: str, calls: _Calls) -> ResolvedSteps:
    resolved = resolve(state.writer(writer), *calls)
    state.wrote(writer, resolved.state)
    return resolved


def _by_session(state: RunState, batch: LogBatch, calls: _Calls, first: int) -> ResolvedSteps:
    """Resolve the rows from `first` on by the session's count."""
    before = StepState(batch.current_step or 0, batch.row_begun)
    if first:
        before = resolve(before, *calls.between(0, first)).state
    resolved = resolve(before, *calls.between(first, calls.rows))
    state.wrote(batch.writer, resolved.state)
    return resolved


def _by_writer_then_session(state: RunState, batch: LogBatch, calls: _Calls, skipped: int, first: int) -> ResolvedSteps:
    """Resolve the rows before `first` by the writer's count, and the others by the session's."""
    counted = _by_writer(state, batch.writer, calls.between(skipped, first))
    own = _by_session(state, batch, calls, first)
    steps = np.concatenate([counted.steps, own.steps])
    return ResolvedSteps(steps, np.concatenate([counted.conflicts, own.conflicts]), own.state)
