"""Rollup rows of numpy arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.planner.rollups.rows import Points, rows_from_segments

LEVEL = 3
floats = st.floats() | st.sampled_from([0.0, -0.0, 1e308, -1e308])


@given(st.lists(st.tuples(floats, floats), min_size=1, max_size=9))
def test_buckets_with_a_point_each_have_the_same_rows_as_among_larger_ones(drawn: list[tuple[float, float]]) -> None:
    count = len(drawn)
    values, begun = np.array([value for value, _ in drawn]), np.array([[total for _, total in drawn]])
    steps, starts = (np.arange(count) << LEVEL) + 2, np.arange(count)
    alone = rows_from_segments(LEVEL, Points(steps, steps + 5, values[None]), starts, begun)
    # A bucket with two points after the others.
    more = np.append(steps, [count << LEVEL, (count << LEVEL) + 1])
    points = Points(more, more + 5, np.append(values, [1.0, 2.0])[None])
    among = rows_from_segments(LEVEL, points, np.arange(count + 1), np.append(begun, [[0.0]], axis=1))
    assert repr(alone.tolist()) == repr(among[:, :count].tolist())
