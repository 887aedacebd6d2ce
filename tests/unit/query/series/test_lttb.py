"""LTTB selects as the published algorithm does, independent of other series: real rows, no NaN, no lost extreme."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.series.math.buckets import Buckets, from_points
from stepwell_query.series.math.lttb import candidates, largest_triangles

Series = dict[int, float]
numbers = st.floats(-1e3, 1e3, width=32)
some_series = st.lists(st.dictionaries(st.integers(0, 5_000), numbers, max_size=80), min_size=1, max_size=4)


def rows_of(series: list[Series], shift: int = 0) -> Buckets:
    rows = [(owner, step, own[step]) for owner, own in enumerate(series) for step in sorted(own)]
    owners = np.array([row[0] for row in rows], np.int64)
    steps = np.array([row[1] for row in rows], np.int64)
    values = np.array([row[2] for row in rows], np.float64)
    return from_points(owners, steps, values, None, np.full(len(series), shift), extremes=True)


def assert_published(own: Series, points: int, chosen: list[int]) -> None:
    """Follow the algorithm of the thesis, bucket by bucket and row by row: each choice spans the largest triangle.

    Two triangles may differ by their areas' last bits alone, which depend on the order of a sum.
    """
    steps = sorted(own)
    values = [own[step] for step in steps]
    count = len(steps)
    if count <= points or points <= 2:
        assert chosen == (steps if count <= points else [steps[0], steps[-1]][-points:])
        return
    span, top = steps[-1] - steps[0], max(abs(value) for value in values) or 1.0
    x, y = [(step - steps[0]) / span for step in steps], [value / top for value in values]
    every = (count - 2) / (points - 2)
    assert (len(chosen), chosen[0], chosen[-1]) == (points, steps[0], steps[-1])
    before = 0
    for bucket in range(points - 2):
        start, end = math.floor(bucket * every) + 1, math.floor((bucket + 1) * every) + 1
        following = range(end, math.floor((bucket + 2) * every) + 1 if bucket < points - 3 else count)
        mean_x, mean_y = sum(x[i] for i in following) / len(following), sum(y[i] for i in following) / len(following)
        areas = {
            i: abs((x[before] - mean_x) * (y[i] - y[before]) - (x[before] - x[i]) * (mean_y - y[before]))
            for i in range(start, end)
        }
        before = steps.index(chosen[bucket + 1])
        assert areas[before] >= max(areas.values()) * (1 - 1e-9)


@given(some_series, st.integers(1, 30))
def test_it_is_the_published_choice_for_each_series(series: list[Series], points: int) -> None:
    parts = largest_triangles(rows_of(series), len(series), points).split(len(series))
    for own, part in zip(series, parts, strict=True):
        assert_published(own, points, part.step.tolist())


odd = st.one_of(numbers, st.sampled_from([math.nan, math.inf, -math.inf]))


@given(st.lists(st.dictionaries(st.integers(0, 5_000), odd, max_size=80), min_size=1, max_size=4), st.integers(3, 30))
def test_candidates_are_rows_and_hold_every_extreme(series: list[Series], points: int) -> None:
    found = candidates(rows_of(series, shift=6), len(series))
    chosen = largest_triangles(found, len(series), points)
    for own, part, kept in zip(series, found.split(len(series)), chosen.split(len(series)), strict=True):
        real = {step: value for step, value in own.items() if not math.isnan(value)}
        assert {step: real[step] for step in part.step.tolist()} == dict(pairs(part))
        assert set(pairs(kept)) <= set(pairs(part))
        assert len(kept) <= points
        if real:
            assert (min(part.last), max(part.last)) == (min(real.values()), max(real.values()))
            last = max(own)
            assert math.isnan(own[last]) or kept.step[-1] == last


def pairs(rows: Buckets) -> list[tuple[Any, Any]]:
    return list(zip(rows.step.tolist(), rows.last.tolist(), strict=True))


def test_a_spike_is_kept() -> None:
    values = np.sin(np.arange(10_000) / 500)
    values[7_123] = 40
    own = dict(enumerate(values.tolist()))
    kept = largest_triangles(candidates(rows_of([own], shift=5), 1), 1, 100)
    assert len(kept) == 100
    assert 7_123 in kept.step
    assert kept.step[-1] == 9_999


def test_infinities_come_first() -> None:
    own = {step: float(step % 7) for step in range(1_000)} | {500: math.inf, 700: -math.inf}
    kept = largest_triangles(rows_of([own]), 1, 20)
    assert {500, 700} <= set(kept.step.tolist())
