"""Arithmetic of buckets over arrays, against plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.rollups.arrays import first_indexes, run_starts

VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, float("nan"), float("inf")])


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=20))
def test_runs_start_where_a_column_changes(rows: list[tuple[int, int]]) -> None:
    expected = [0] + [index for index in range(1, len(rows)) if rows[index] != rows[index - 1]]
    first, second = np.array(rows).T
    assert run_starts(first, second).tolist() == expected


@given(st.lists(st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=6))
def test_the_first_index_of_an_extreme_is_found_in_each_run(runs: list[list[float]]) -> None:
    values = np.array([value for run in runs for value in run])
    starts = np.cumsum([0, *map(len, runs)])[:-1]
    extremes = np.fmin.reduceat(values, starts)
    first, present = first_indexes(np.stack([values, values]), np.stack([extremes, extremes]), starts)
    for run, start, extreme, index, there in zip(runs, starts, extremes, first[1], present[1], strict=True):
        hits = [place for place, value in enumerate(run) if value == extreme]
        assert bool(there) == bool(hits)
        assert index == (start + hits[0] if hits else 0)
