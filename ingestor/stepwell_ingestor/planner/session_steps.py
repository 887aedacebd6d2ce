"""Decide the steps of a batch's rows: by the count of its session, or by the ingestor's count of the writer.

The SDK counts a session's steps, and each of its batches states the current step before its first row. Such steps are
final: they don't depend on the order in which sessions arrive. Two cases are counted here instead:

- producers that state no current step: other producers, side streams, and earlier versions of the SDK;
- a line of sessions (sessions that count on from one another) that began without knowing the run's last step, in a run
  that had such steps: its rows would replace those of other sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.arrivals import Part
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


def resolve_batch(state: RunState, batch: LogBatch, parts: Sequence[Part], *, redriven: bool) -> ResolvedSteps:
    """Return the steps of the rows in some parts of a batch, and advance its writer.

    `redriven`: the batch is a dead letter that was sent again, which is late, like rows that fill a gap. Late rows have
    the steps of their session. If the ingestor counts, and the first row of a late part requests a step, requested
    steps are used as they are and the writer stays; otherwise the rows continue after the writer's last row.
    """
    asked = None if batch.steps is None else np.frombuffer(batch.steps, "<i8")
    commits = None if batch.commits is None else np.frombuffer(batch.commits, np.int8)
    calls = _Calls(asked, commits, batch.rows)
    resolved = [_resolve_part(state, batch, calls, part, redriven=redriven) for part in parts]
    if len(resolved) == 1:
        return resolved[0]
    return _joined(resolved, state.writer(batch.writer))


def _resolve_part(state: RunState, batch: LogBatch, calls: _Calls, part: Part, *, redriven: bool) -> ResolvedSteps:
    line = FINAL if batch.current_step is None else state.lines.get(batch.session, FINAL)
    # Late rows may be from before the first requested step, when the ingestor counted.
    if batch.current_step is not None and (line == FINAL or (line == REQUESTED and not part.late)):
        return _by_session(state, batch, calls.between(0, part.end), part.first)
    own, late = calls.between(part.first, part.end), redriven or part.late
    if batch.current_step is not None and line in {COUNTED, REQUESTED} and own.asked is not None:
        requesting = np.flatnonzero(own.asked != NO_STEP)
        if len(requesting):
            state.lines[batch.session] = REQUESTED
            first = part.first + int(requesting[0])
            counted = _by_writer(state, batch.writer, calls.between(part.first, first), late=late)
            requested = _by_session(state, batch, calls.between(0, part.end), first)
            return _joined([counted, requested], requested.state)
    # A session that resumes its run has conflicts with the run's earlier steps, also if it is late.
    if late and (redriven or line != RESUMED) and own.asked is not None and own.rows and own.asked[0] != NO_STEP:
        return resolve(StepState(), *own)
    return _by_writer(state, batch.writer, own, late=late)


def _by_writer(state: RunState, writer: str, calls: _Calls, *, late: bool) -> ResolvedSteps:
    before = state.writer(writer)
    if late and before.begun and calls.rows:
        # The row of the current step is one of later calls, whose values must stay.
        before = StepState(before.current + 1)
    resolved = resolve(before, *calls)
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


def _joined(resolved: Sequence[ResolvedSteps], after: StepState) -> ResolvedSteps:
    steps = [np.zeros(0, np.int64), *(rows.steps for rows in resolved)]
    conflicts = [np.zeros(0, np.bool_), *(rows.conflicts for rows in resolved)]
    return ResolvedSteps(np.concatenate(steps), np.concatenate(conflicts), after)
