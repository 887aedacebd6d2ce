"""Buckets of the x axis: few enough, nested, on the right side of every border."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from stepwell_query.series.math.buckets import Buckets, from_points
from stepwell_query.series.math.xy_join import bucket_by_x, join_on_step, x_exponent

finite = st.floats(allow_nan=False, allow_infinity=False)
some_points = st.integers(1, 50)


def rows_of(steps: Any, values: Any) -> Buckets:
    at, numbers = np.asarray(steps, np.int64), np.asarray(values, np.float64)
    none = np.zeros_like(at)
    return from_points(none, at, numbers, none, np.zeros(1, np.int64), extremes=False)


@given(finite, finite, some_points)
@example(0.0, 5e-324, 1)
@example(-1.7e308, 1.7e308, 1)
def test_few_buckets_and_no_wider_than_they_must_be(one: float, other: float, points: int) -> None:
    low, high = sorted((one, other))
    points = max(points, 2 if low < 0 <= high else 1)
    exponent = x_exponent(low, high, points)

    def places(k: int) -> int:
        width = Fraction(2) ** k
        return math.floor(Fraction(high) / width) - math.floor(Fraction(low) / width) + 1

    assert places(exponent) <= points
    if exponent > -1074:
        assert places(exponent - 1) > points or low == high


@given(st.lists(st.tuples(finite, st.floats(width=32)), min_size=1, max_size=200), some_points)
@example([(0.0, 0.0), (1.7e308, 0.0)], 1)
@example([(-1.7e308, 0.0), (1.7e308, 0.0), (1.0, 0.0)], 1)
def test_every_row_is_in_its_bucket(pairs: list[tuple[float, float]], points: int) -> None:
    x, values = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    found = bucket_by_x(x, rows_of(range(len(x)), values), points)
    if found.width is None:
        assert len(x) <= points
        assert sorted(x.tolist()) == found.x.tolist()
        return
    assert len(found.x) <= max(points, 2 if min(x) < 0 <= max(x) else 1)
    assert (found.x[1:] > found.x[:-1]).all()
    buckets: dict[int, list[tuple[float, int, float]]] = {}
    for step, (at, value) in enumerate(pairs):
        place = -int(at < 0) if math.isinf(found.width) else math.floor(Fraction(at) / Fraction(found.width))
        buckets.setdefault(place, []).append((at, step, value))
    for number, bucket in enumerate(sorted(buckets)):
        rows = sorted(buckets[bucket])
        real = [value for *_, value in rows if not math.isnan(value)]
        assert (found.x[number], found.buckets.step[number]) == rows[-1][:2]
        assert found.buckets.count[number] == len(rows)
        assert found.buckets.nan_count[number] == len(rows) - len(real)
        assert found.buckets.min[number] == min(real) if real else math.isnan(found.buckets.min[number])
        assert found.buckets.max[number] == max(real) if real else math.isnan(found.buckets.max[number])


@given(st.dictionaries(st.integers(0, 300), finite), st.dictionaries(st.integers(0, 300), st.floats()))
def test_rows_are_joined_on_their_step(ys: dict[int, float], xs: dict[int, float]) -> None:
    own, others = sorted(ys), sorted(xs)
    x, rows = join_on_step(rows_of(own, [ys[s] for s in own]), rows_of(others, [xs[s] for s in others]), 0)
    expected = [step for step in own if math.isfinite(xs.get(step, math.nan))]
    assert rows.step.tolist() == expected
    assert x.tolist() == [xs[step] for step in expected]
    assert rows.last.tolist() == [ys[step] for step in expected]
