"""Equality of the step rule inlined in `RowWriter` with `steps.advance`, on both write paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.journal.format import JournalInfo
from stepwell.journal.items import JsonRow, Rows
from stepwell.journal.journal import Journal, MemoryJournal
from stepwell.recording.cells import ROW_MAX_BYTES
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.limits import MAX_STEP, MIB
from stepwell_schemas.rules.steps import NO_STEP, StepState, advance, resolve
from support.readers.journals import read_items

INFO = JournalInfo("e", "p", "r", "s", "")
Call = tuple[int | None, bool | None, bool]

steps = st.none() | st.integers(-3, 12) | st.integers(-MAX_STEP, MAX_STEP)
commits = st.sampled_from([None, True, False])
packed = st.booleans()


def logged_steps(journal: Journal, first_step: int) -> list[int]:
    """Return the steps that the ingestor gives a journal's rows, for a session that starts at `first_step`."""
    asked: list[int] = []
    codes: list[int] = []
    for item in read_items(journal):
        if isinstance(item, Rows):
            asked += item.array["asked"].tolist()
            codes += item.array["commit"].tolist()
        elif isinstance(item, JsonRow):
            asked.append(item.row["s"])
            codes.append(item.row["c"])
    steps = resolve(StepState(first_step), np.array(asked, np.int64), np.array(codes, np.int8), len(asked)).steps
    return [int(step) for step in steps]


def expected_steps(calls: Iterable[Call], first_step: int) -> tuple[list[int], list[int], int]:
    """Return the step of each call by `advance`, the current step after each, and the number of conflicts."""
    written, currents, conflicts = [], [], 0
    state = StepState(first_step)
    for step, commit, _ in calls:
        step_written, state, conflict = advance(state, step, commit)
        written.append(step_written)
        currents.append(state.current)
        conflicts += conflict
    return written, currents, conflicts


@given(first_step=st.integers(0, 10), calls=st.lists(st.tuples(steps, commits, packed), max_size=40))
def test_the_inlined_step_rule_equals_advance(first_step: int, calls: list[Call]) -> None:
    journal = MemoryJournal(Path("/nonexistent/steps"), INFO, 64 * MIB, "drop")
    rows = RowWriter(journal, first_step, "r")
    written, currents, conflicts = expected_steps(calls, first_step)
    for (step, commit, is_packed), current in zip(calls, currents, strict=True):
        rows.log({"key": 1.0 if is_packed else "text"}, step, commit)
        assert rows.current == current
    assert rows.conflicts == conflicts
    assert logged_steps(journal, first_step) == written
    journal.release()


@pytest.mark.parametrize("code", [0, 1, 2])
def test_no_step_is_below_every_current_step(code: int) -> None:
    assert NO_STEP < -MAX_STEP
    journal = MemoryJournal(Path("/nonexistent/steps"), INFO, MIB, "drop")
    rows = RowWriter(journal, 0, "r")
    rows._advance(NO_STEP, code)
    assert (rows.current, rows.conflicts) == (int(code > 0), 0)
    journal.release()


@given(
    first_step=st.integers(0, 10),
    calls=st.lists(st.tuples(steps, commits), min_size=1, max_size=12),
    large=st.integers(0, 11),
)
def test_the_parts_of_a_large_row_get_one_step_and_at_most_one_conflict(
    first_step: int, calls: list[tuple[int | None, bool | None]], large: int
) -> None:
    journal = MemoryJournal(Path("/nonexistent/steps"), INFO, 64 * MIB, "drop")
    rows = RowWriter(journal, first_step, "r")
    values = {f"key{number}": "x" * (ROW_MAX_BYTES // 3) for number in range(5)}
    parts = []
    for number, (step, commit) in enumerate(calls):
        before = journal.sequence
        rows.log(values if number == large else {"key": 1.0}, step, commit)
        parts.append(journal.sequence - before)
    written, currents, conflicts = expected_steps([(*call, True) for call in calls], first_step)
    assert (rows.current, rows.conflicts) == (currents[-1], conflicts)
    wanted = [step for step, count in zip(written, parts, strict=True) for _ in range(count)]
    assert logged_steps(journal, first_step) == wanted
    journal.release()


def test_a_conflict_replaces_no_value_of_the_row_that_has_begun() -> None:
    journal = MemoryJournal(Path("/nonexistent/steps"), INFO, MIB, "drop")
    rows = RowWriter(journal, 0, "r")
    rows.log({"loss": 1.0}, 100, None)
    rows.log({"loss": 2.0}, 50, None)
    rows.log({"loss": 3.0}, None, False)
    rows.log({"loss": 4.0}, 0, False)
    rows.log({"loss": 5.0}, None, None)
    assert logged_steps(journal, 0) == [100, 101, 102, 103, 103]
    assert (rows.current, rows.conflicts) == (104, 2)
    journal.release()


INTERRUPTED = st.tuples(steps, commits, packed)


@given(calls=st.lists(INTERRUPTED, min_size=1, max_size=6), handlers=st.lists(INTERRUPTED, min_size=1, max_size=3))
def test_a_signal_handler_that_logs_during_a_write_counts_its_steps_after_the_row(
    calls: list[Call], handlers: list[Call]
) -> None:
    """The handler runs after the write of a row, before the row changes the current step."""
    journal = MemoryJournal(Path("/nonexistent/steps"), INFO, 64 * MIB, "drop")
    rows = RowWriter(journal, 0, "r")
    # Layouts are defined by writes of their own.
    rows.log({"key": 1.0}, None, True)
    write = journal.pwrite
    waiting = list(handlers)
    done: list[Call] = [(None, True, True)]

    def interrupted(data: bytes, at: int) -> int:
        written = write(data, at)
        if waiting:
            log(waiting.pop(0))
        return written

    def log(call: Call) -> None:
        step, commit, is_packed = call
        done.append(call)
        rows.log({"key": 1.0 if is_packed else "text"}, step, commit)

    journal.pwrite = interrupted
    for call in calls:
        log(call)
    written, currents, conflicts = expected_steps(done, 0)
    assert (rows.current, rows.conflicts) == (currents[-1], conflicts)
    assert logged_steps(journal, 0) == written
    journal.release()


@pytest.mark.parametrize("value", [1.0, 2**70], ids=["packed", "JSON"])
@pytest.mark.parametrize(("asked", "first"), [(None, 7), (3, 3), (7, 7), (9, 7), (-1, -1)])
def test_a_forked_child_begins_at_its_parent_s_step_or_at_the_one_it_asks_for(
    value: float, asked: int | None, first: int
) -> None:
    rows = RowWriter(MemoryJournal(Path("/nonexistent/parent"), INFO, 64 * MIB, "drop"), 0, "r")
    for _ in range(7):
        rows.log({"x": value}, None, None)
    begun: list[int] = []
    journal = MemoryJournal(Path("/nonexistent/child"), INFO, 64 * MIB, "drop")

    def begin() -> None:
        begun.append(rows.current)
        rows.switch_journal(journal)

    rows.in_child(begin)
    rows.log({"x": value}, asked, None)
    rows.log({"x": value}, None, None)
    assert (begun, rows.conflicts) == ([first], 0)
    assert logged_steps(journal, first)[0] == (first if asked is None else asked)
