"""Current steps that batches state: those of the session's count, wherever batches and readers begin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.delivery.batching import encode_events, split_into_events
from stepwell.journal.format import HEADER_BYTES, RECORD_HEAD, JournalInfo, Position
from stepwell.journal.journal import Journal, MemoryJournal
from stepwell.journal.reader import Reader
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import LogBatch
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.steps import StepState, advance
from support.readers.journals import read_items

INFO = JournalInfo("e", "p", "r", "s", "")
SEGMENT_BYTES = (HEADER_BYTES + 300, HEADER_BYTES + 300)
"""Segments of a few rows."""

Call = tuple[int | None, bool | None, bool]

calls = st.lists(
    st.tuples(st.none() | st.integers(-2, 12), st.sampled_from([None, True, False]), st.booleans()), max_size=30
)


def states_of(logged: Sequence[Call], first_step: int) -> list[StepState]:
    """Return the writer's state before each call, and after the last one."""
    states = [StepState(first_step)]
    for step, commit, _ in logged:
        states.append(advance(states[-1], step, commit).state)
    return states


def sent(journal: Journal, first_step: int, start: Position | None, most: int) -> list[tuple[int, StepState]]:
    """Return the batches of a journal from a position on: the number of the first row, and the state they state."""
    reader = Reader(check=True, first_step=first_step)
    if start is not None:
        reader.skip_to(journal, start)
    at = reader.position.sequence
    events = encode_events(split_into_events(reader.read_all(journal), max_rows=most), INFO, at, reader.steps)
    batches = [decode(event.payload) for event in events]
    assert all(isinstance(batch, LogBatch) for batch in batches)
    return [
        (batch.sequence, StepState(batch.current_step or 0, batch.row_begun))
        for batch in batches
        if isinstance(batch, LogBatch)
    ]


@given(calls, st.integers(0, 9), st.integers(1, 8), st.integers(0, 30))
def test_a_batch_states_the_session_s_count_from_any_position(
    logged: list[Call], first_step: int, most: int, skipped: int
) -> None:
    journal = MemoryJournal(Path("/nonexistent/steps"), INFO, 64 * MIB, "drop", SEGMENT_BYTES)
    rows = RowWriter(journal, first_step, "r")
    positions = [Position(journal.end, journal.sequence)]
    for step, commit, is_packed in logged:
        rows.log({"key": 1.0 if is_packed else "text"}, step, commit)
        positions.append(Position(journal.end, journal.sequence))
    states = states_of(logged, first_step)
    start = positions[min(skipped, len(logged))]
    for position in (None, start):
        for sequence, state in sent(journal, first_step, position, most):
            assert state == states[sequence]
    reader = Reader(check=False, first_step=first_step)
    reader.skip_to(journal, start)
    assert reader.steps == states[start.sequence]
    journal.release()


def test_after_damage_on_the_way_the_current_step_is_unknown() -> None:
    journal = MemoryJournal(Path("/nonexistent/steps"), INFO, MIB, "drop")
    rows = RowWriter(journal, 0, "r")
    rows.log({"a": "text"}, None, None)
    damaged = journal.end
    rows.log({"a": "text"}, 40, None)
    journal.pwrite(b"!", damaged + RECORD_HEAD.size + 8 - journal.base)
    reader = Reader(check=True)
    reader.skip_to(journal, Position(journal.end, journal.sequence))
    assert reader.steps is None
    journal.release()


@pytest.mark.parametrize("steps", [None, StepState(7, True)])
def test_without_a_known_state_a_batch_states_no_current_step(steps: StepState | None) -> None:
    journal = MemoryJournal(Path("/nonexistent/steps"), INFO, MIB, "drop")
    RowWriter(journal, 0, "r").log({"a": 1.0}, None, None)
    items = read_items(journal)
    (event,) = encode_events(split_into_events(items), INFO, 0, steps)
    batch = decode(event.payload)
    assert isinstance(batch, LogBatch)
    assert (batch.current_step, batch.row_begun) == ((None, False) if steps is None else steps)
    assert event.steps == (None if steps is None else StepState(8))
    journal.release()
