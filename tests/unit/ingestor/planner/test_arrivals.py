"""Arrivals of a session's records: each is stored once, in whatever order it arrives, and what is missing is known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.planner.arrivals import NO_GAPS, Arrival, Gaps, Part, arrive, everything, marked_rows
from stepwell_schemas.limits import SESSION_MAX_GAPS

events = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=20)


def numbers(gaps: Gaps) -> set[int]:
    """Return the numbers in some ranges."""
    return {number for first, end in gaps for number in range(first, end)}


@given(events)
def test_each_number_is_stored_once_and_those_that_never_came_are_the_gaps(sent: list[tuple[int, int]]) -> None:
    following, gaps, missing, repeated = 0, NO_GAPS, 0, 0
    known: set[int] = set()
    for sequence, records in sent:
        arrival = arrive(following, gaps, sequence, records)
        fresh = [sequence + row for part in arrival.parts for row in range(part.first, part.end)]
        late = [sequence + row for part in arrival.parts if part.late for row in range(part.first, part.end)]
        assert fresh == [number for number in range(sequence, sequence + records) if number not in known]
        assert late == [number for number in fresh if number < following]
        assert arrival.is_late == (bool(fresh) and fresh[-1] < following)
        known |= set(fresh)
        following, gaps = arrival.following, arrival.gaps
        missing, repeated = missing + arrival.missing, repeated + arrival.repeated
        assert numbers(gaps) == set(range(following)) - known
        assert all(first < end for first, end in gaps)
        assert all(one[1] < other[0] for one, other in pairwise(gaps))
        assert missing == len(numbers(gaps))
    assert following == max((sequence + records for sequence, records in sent if records), default=0)
    assert repeated + len(known) == sum(records for _, records in sent)


@pytest.mark.parametrize(
    ("sequence", "records", "parts", "gaps", "missing"),
    [
        (0, 3, [(0, 3, True)], [(3, 10), (12, 20)], -3),
        (7, 3, [(0, 3, True)], [(0, 7), (12, 20)], -3),
        (4, 2, [(0, 2, True)], [(0, 4), (6, 10), (12, 20)], -2),
        (0, 10, [(0, 10, True)], [(12, 20)], -10),
        (9, 5, [(0, 1, True), (3, 5, True)], [(0, 9), (14, 20)], -3),
        (18, 6, [(0, 2, True), (4, 6, False)], [(0, 10), (12, 18)], -2),
        (0, 30, [(0, 10, True), (12, 20, True), (22, 30, False)], [], -18),
        (10, 2, [], [(0, 10), (12, 20)], 0),
        (22, 1, [(0, 1, False)], [(0, 10), (12, 20)], 0),
        (25, 1, [(0, 1, False)], [(0, 10), (12, 20), (22, 25)], 3),
    ],
)
def test_a_batch_fills_a_gap_wholly_or_in_part(
    sequence: int, records: int, parts: Sequence[tuple[int, int, bool]], gaps: Sequence[tuple[int, int]], missing: int
) -> None:
    arrival = arrive(22, ((0, 10), (12, 20)), sequence, records)
    assert (list(arrival.parts), list(arrival.gaps), arrival.missing) == (parts, gaps, missing)


def test_of_too_many_gaps_the_smallest_and_of_equal_ones_the_oldest_is_forgotten() -> None:
    gaps = tuple((10 * number, 10 * number + 5) for number in range(SESSION_MAX_GAPS))
    end = gaps[-1][1] + 1
    assert arrive(end, gaps, end + 4, 1) == Arrival((Part(0, 1, False),), end + 5, gaps, 0, 4, ((end, end + 4),))
    assert arrive(end, gaps, end + 5, 1).forgotten == ((0, 5),)
    split = arrive(end, gaps, 12, 1)
    assert (split.forgotten, split.missing) == (((10, 12),), -1)
    assert split.gaps == (gaps[0], (13, 15), *gaps[2:])
    assert arrive(end, split.gaps, 10, 2) == Arrival((), end, split.gaps, 2, 0)


def test_rows_of_several_parts_are_marked_and_a_whole_batch_needs_no_marks() -> None:
    assert marked_rows(everything(3).parts, 3) is None
    marks = marked_rows((Part(1, 2, True), Part(3, 5, False)), 6)
    assert marks is not None
    assert np.flatnonzero(marks).tolist() == [1, 3, 4]
