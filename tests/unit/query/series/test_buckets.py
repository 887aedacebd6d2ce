"""Bringing points and buckets to wider buckets: the same as value by value, and in two goes as in one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.series.math.buckets import Buckets, concatenate, from_points, means, widen

values = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0]))
Series = list[dict[int, float]]
some_series = st.lists(st.dictionaries(st.integers(0, 2_000), values, min_size=1, max_size=60), min_size=1, max_size=4)


def buckets_of(series: Series, shift: int) -> Buckets:
    rows = [(owner, step, points[step]) for owner, points in enumerate(series) for step in sorted(points)]
    owners, steps = np.array([row[:2] for row in rows]).T
    shifts = np.full(len(series), shift)
    return from_points(owners, steps, np.array([row[2] for row in rows]), steps * 10, shifts, extremes=True)


def model(series: Series, shift: int) -> list[tuple[Any, ...]]:
    rows = []
    for owner, points in enumerate(series):
        for bucket in sorted({step >> shift for step in points}):
            own = [(step, points[step]) for step in sorted(points) if step >> shift == bucket]
            real = [pair for pair in own if not math.isnan(pair[1])]
            low = min(real, key=lambda pair: (pair[1], pair[0]), default=(0, math.nan))
            high = max(real, key=lambda pair: (pair[1], -pair[0]), default=(0, math.nan))
            finite = [value for _, value in own if math.isfinite(value)]
            rows.append(
                (owner, own[-1][0], own[-1][1], own[-1][0] * 10, low[1], low[0], high[1], high[0],
                 math.fsum(finite), len(finite), len(own) - len(real), len(own))
            )  # fmt: skip
    return rows


def rows_of(buckets: Buckets) -> list[tuple[Any, ...]]:
    names = (
        "owner", "step", "last", "time", "min", "min_step", "max", "max_step",
        "total", "finite_count", "nan_count", "count",
    )  # fmt: skip
    return list(zip(*(getattr(buckets, name).tolist() for name in names), strict=True))


def assert_same(found: Buckets, expected: list[tuple[Any, ...]]) -> None:
    rows = rows_of(found)
    assert len(rows) == len(expected)
    for one, other in zip(rows, expected, strict=True):
        # The sum alone depends on the order of its terms.
        assert one[:8] + one[9:] == pytest.approx(other[:8] + other[9:], rel=0, abs=0, nan_ok=True)
        assert one[8] == pytest.approx(other[8], rel=1e-12, abs=1e-4)


@given(some_series, st.integers(0, 12))
def test_points_become_the_models_buckets(series: Series, shift: int) -> None:
    assert_same(buckets_of(series, shift), model(series, shift))


@given(some_series, st.integers(0, 6), st.integers(0, 6))
def test_wider_buckets_are_those_of_the_points(series: Series, shift: int, more: int) -> None:
    shifts = np.full(len(series), shift + more)
    assert_same(widen(buckets_of(series, shift), shifts), model(series, shift + more))


@given(some_series, st.integers(0, 8), st.randoms(use_true_random=False))
def test_the_order_of_the_parts_does_not_matter(series: Series, shift: int, random: Any) -> None:
    whole = buckets_of(series, shift)
    parts = [whole.take(slice(place, place + 1)) for place in range(len(whole))]
    random.shuffle(parts)
    assert_same(concatenate(parts), rows_of(whole))


@given(some_series, st.integers(0, 8))
def test_series_are_found_again(series: Series, shift: int) -> None:
    whole = buckets_of(series, shift)
    assert [len(part) for part in whole.split(len(series))] == [len({s >> shift for s in own}) for own in series]
    assert whole.counts(len(series)).tolist() == [len(own) for own in series]


def test_a_mean_is_that_of_the_finite_values_though_their_sum_overflows() -> None:
    assert means(buckets_of([{0: 1.0, 1: 2.0, 2: math.nan, 3: math.inf}], 2)).tolist() == [1.5]
    assert means(buckets_of([{0: math.inf, 1: -math.inf}], 2)).tolist() == [-math.inf]
    assert means(buckets_of([{0: 1e308, 1: 1e308}], 2)).tolist() == [1e308]
    assert not len(concatenate([]))
    assert not len(widen(Buckets.empty(), np.zeros(1, np.int64)))
