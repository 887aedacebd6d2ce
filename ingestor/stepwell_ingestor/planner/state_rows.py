"""Build the rows of the table of states: every number of a run's state that a flush changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from stepwell_ingestor.planner.arrivals import NO_GAPS, Gaps
from stepwell_ingestor.planner.arrow import PATH_FIELDS, row_type
from stepwell_ingestor.planner.layers import Known, Layer, is_changed
from stepwell_ingestor.planner.run_state import NOTE_SCOPES, RunState
from stepwell_schemas.rules.identifiers import RunPath

ABSENT = -1
"""Marks, in the table of states, an entry that did not exist before the flush."""

GAP_SCOPE: Final = "gap"
"""The scope of gaps in the table of states: the name has the gap's end and its session, the number is its start. In
this form, a gap that is filled in order changes one row."""

STATE_ROW: Final = row_type(
    PATH_FIELDS
    | {
        "scope": pa.string(),
        "name": pa.string(),
        "offset": pa.int64(),
        "number": pa.int64(),
        "previous_number": pa.int64(),
    }
)
"""The type of a row."""


def state_rows(
    states: Mapping[RunPath, RunState], end: int, replaced: Mapping[RunPath, RunState]
) -> list[tuple[Any, ...]]:
    """Return every number that this flush changed, with its previous value.

    Of runs that took the name of a run that was deleted in this flush, return all numbers: earlier rows are not theirs.
    """
    return [
        (*path, scope, name, end, number, old)
        for path, state in states.items()
        for scope, changes in _changes_by_scope(state, replaced.get(path))
        for name, number, old in changes
    ]


def _changes_by_scope(
    state: RunState, replaced: RunState | None
) -> Iterator[tuple[str, Iterator[tuple[str, int, int]]]]:
    if replaced is not None:
        before, after = _all_numbers(replaced), _all_numbers(state)
        for scope in after:
            yield scope, _differences(before[scope], after[scope], whole=scope not in NOTE_SCOPES)
        return
    for scope, ledger in state.numbers().items():
        if is_changed(ledger):
            yield scope, _changes(ledger)
    if is_changed(state.gaps):
        yield GAP_SCOPE, _gap_changes(state.gaps)


def _all_numbers(state: RunState) -> dict[str, dict[str, int]]:
    """Return all numbers of a state, by scope and name."""
    numbers = {scope: dict(ledger.items()) for scope, ledger in state.numbers().items()}
    gaps = {gap_name(session, end): first for session, gaps in state.gaps.items() for first, end in gaps}
    return numbers | {GAP_SCOPE: gaps}


def _differences(before: Mapping[str, int], after: Mapping[str, int], *, whole: bool) -> Iterator[tuple[str, int, int]]:
    for name in dict.fromkeys((*before, *after)):
        number, old = after.get(name, ABSENT), before.get(name, ABSENT)
        if number != old or (whole and name in after):
            yield name, number, old


def _changes(ledger: Known[str, int]) -> Iterator[tuple[str, int, int]]:
    assert isinstance(ledger, Layer)  # noqa: S101 - states of a flush are forks
    for name, number in ledger.changed.items():
        old = ledger.base.get(name, ABSENT)
        if old != number:
            yield name, number, old


def _gap_changes(ledger: Known[str, Gaps]) -> Iterator[tuple[str, int, int]]:
    """Yield the names of changed gaps with their start and the previous one, ABSENT for gaps that are gone or new."""
    assert isinstance(ledger, Layer)  # noqa: S101 - states of a flush are forks
    for session, gaps in ledger.changed.items():
        after = {end: first for first, end in gaps}
        before = {end: first for first, end in ledger.base.get(session, NO_GAPS)}
        for end in sorted(after.keys() | before.keys()):
            number, old = after.get(end, ABSENT), before.get(end, ABSENT)
            if number != old:
                yield gap_name(session, end), number, old


def gap_name(session: str, end: int) -> str:
    """Return the name of a session's gap with this end in the table of states."""
    return f"{end} {session}"


def parse_gap_name(name: str) -> tuple[str, int]:
    """Return the session and the end of a gap."""
    end, _, session = name.partition(" ")
    return session, int(end)
