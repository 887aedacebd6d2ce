"""Sampling's promises: few enough buckets, nested zooms, every step in exactly one bucket."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from stepwell_query.series.math.bucketing import (
    bucket_plan,
    bucket_shift,
    clip,
    limit_point_reads,
    limit_rollup_reads,
    step_buckets,
)
from stepwell_schemas.limits import MAX_STEP

steps = st.one_of(st.integers(0, 10_000), st.integers(0, MAX_STEP))
points = st.integers(1, 10_000)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int]:
    first, last = sorted((draw(steps), draw(steps)))
    return first, last


@given(ranges(), points)
def test_buckets_are_at_most_the_points_asked_for_and_no_wider_than_they_must_be(
    extent: tuple[int, int], points: int
) -> None:
    first, last = extent
    shift = bucket_shift(first, last, points)
    assert (last >> shift) - (first >> shift) + 1 <= points
    if shift:
        assert (last >> (shift - 1)) - (first >> (shift - 1)) + 1 > points


@given(ranges(), ranges(), points, steps)
def test_a_bucket_of_a_closer_view_lies_within_one_of_the_wider_view(
    wide: tuple[int, int], near: tuple[int, int], points: int, step: int
) -> None:
    assume(clip(*near, *wide) == near)
    outer, inner = bucket_shift(*wide, points), bucket_shift(*near, points)
    assert inner <= outer
    bucket = step >> inner
    first, last = bucket << inner, ((bucket + 1) << inner) - 1
    assert first >> outer == last >> outer


@given(ranges(), points, st.integers(0, 10_000))
def test_a_longer_run_keeps_buckets_or_joins_whole_ones(extent: tuple[int, int], points: int, more: int) -> None:
    first, last = extent
    assert bucket_shift(first, last + more, points) >= bucket_shift(first, last, points)


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=300), st.integers(1, 50))
def test_every_extreme_is_kept(values: list[float], points: int) -> None:
    plan = bucket_plan(0, len(values) - 1, len(values), points)
    buckets = np.arange(len(values)) >> plan.shift
    lows = [min(value for value, bucket in zip(values, buckets, strict=True) if bucket == b) for b in set(buckets)]
    assert min(lows) == min(values)
    assert len(lows) <= points


def test_few_rows_are_the_answer_themselves() -> None:
    assert bucket_plan(0, 10**9, 1_000, 1_000).shift == 0
    assert bucket_plan(0, 999_999, 1_000_000, 1_000).width == 1_024


def test_a_range_that_misses_the_series_has_no_view() -> None:
    assert clip(10, 20, 21, None) is None
    assert clip(10, 20, None, 9) is None
    assert clip(10, 20, 12, 99) == (12, 20)


@given(ranges(), st.integers(2, 10_000))
def test_joint_buckets_are_even_and_fewer_than_the_samples(extent: tuple[int, int], samples: int) -> None:
    first, last = extent
    buckets = step_buckets(first, last, samples)
    highest = (last - first) * buckets.multiplier // buckets.divisor
    assert 0 <= highest < samples - 1
    assert (last - first) * buckets.multiplier < 2**63


def test_a_dense_series_gives_exactly_the_samples() -> None:
    buckets = step_buckets(0, 99_999, 500)
    ids = np.arange(100_000) * buckets.multiplier // buckets.divisor
    assert len(np.unique(ids)) == 499


some_shifts = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1_000)), max_size=30)


@given(some_shifts, st.integers(0, 5_000))
def test_a_page_reads_no_more_points_than_it_may(series: list[tuple[int, int]], budget: int) -> None:
    shifts, rows = [shift for shift, _ in series], [count for _, count in series]
    found = limit_point_reads(shifts, rows, 7, budget)
    assert sum(count for own, count in zip(found, rows, strict=True) if 0 < own < 7) <= budget
    raised = {own for own, new in zip(shifts, found, strict=True) if own != new}
    kept = {own for own, new in zip(shifts, found, strict=True) if own == new and 0 < own < 7}
    assert all(new in {own, 7} for own, new in zip(shifts, found, strict=True))
    # The widest go first, and none goes that need not.
    assert not kept or not raised or max(kept) < min(raised)
    if raised:
        narrowest = min(raised)
        assert sum(count for own, count in zip(shifts, rows, strict=True) if 0 < own <= narrowest) > budget


_LEVELS = (7, 12, 17, 22, 27)


def test_many_writers_are_read_from_a_coarser_level() -> None:
    steps = [512 * 10**6]
    assert limit_rollup_reads([10], steps, _LEVELS, 1_000_000) == [12]
    assert limit_rollup_reads([13], steps, _LEVELS, 1_000_000) == [13]
    assert limit_rollup_reads([10], [10**6], _LEVELS, 1_000_000) == [10]
    assert limit_rollup_reads([3, 10, 12], [10**6, 10**9, 10**9], _LEVELS, 1_000_000) == [3, 12, 12]
    assert limit_rollup_reads([10], [10**15], _LEVELS, 1_000_000) == [27]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**50)), max_size=6), st.integers(0, 10**7))
def test_shifts_are_raised_only_to_levels_and_only_as_far_as_needed(keys: list[tuple[int, int]], budget: int) -> None:
    shifts, steps = [shift for shift, _ in keys], [count for _, count in keys]
    found = limit_rollup_reads(shifts, steps, _LEVELS, budget)
    for before, after in zip(shifts, found, strict=True):
        assert after == before or (after in _LEVELS and after > before >= _LEVELS[0])

    def rows(chosen: list[int]) -> int:
        levels = [max((level for level in _LEVELS if level <= shift), default=None) for shift in chosen]
        return sum(count >> level for count, level in zip(steps, levels, strict=True) if level is not None)

    assert rows(found) <= budget or all(shift < _LEVELS[0] or shift >= _LEVELS[-1] for shift in found)
    if rows(shifts) <= budget:
        assert found == shifts
