"""Equality of the step rule inlined in `RowWriter` with `steps.advance`, on both write paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import Journal, MemoryJournal
from stepwell.journal.reader import JsonRow, Rows
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.limits import MAX_STEP, MIB
from stepwell_schemas.rules.steps import NO_STEP, advance, resolve
from support.readers.journals import read_items

INFO = JournalInfo("e", "p", "r", "s", "")
Call = tuple[int | None, bool | None, bool]

steps = st.none() | st.integers(-3, 12) | st.integers(-MAX_STEP, MAX_STEP)
commits = st.sampled_from([None, True, False])
packed = st.booleans()


def logged_steps(journal: Journal, first_step: int) -> list[int]:
    """Return the steps that the ingestor gives a journal's rows, for a writer whose current step is `first_step`."""
    asked: list[int] = []
    codes: list[int] = []
    for item in read_items(journal):
        if isinstance(item, Rows):
            asked += item.array["asked"].tolist()
            codes += item.array["commit"].tolist()
        elif isinstance(item, JsonRow):
            asked.append(item.row["s"])
            codes.append(item.row["c"])
    steps = resolve(first_step, np.array(asked, np.int64), np.array(codes, np.int8), len(asked)).steps
    return [int(step) for step in steps]


def expected_steps(calls: Iterable[Call], current: int) -> tuple[list[int], list[int], int]:
    """Return the step of each call by `advance`, the current step after each, and the number of conflicts."""
    written, currents, conflicts = [], [], 0
    for step, commit, _ in calls:
        step_written, current, conflict = advance(current, step, commit)
        written.append(step_written)
        currents.append(current)
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
