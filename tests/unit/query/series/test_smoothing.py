"""Moving averages: those of TensorBoard's loop and of pandas, series by series, and of buckets as of their values."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.series.math.buckets import Buckets, from_points, widen
from stepwell_query.series.math.ema import averages_at_steps, finest_level, moving_averages

numbers = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))
some_series = st.lists(st.lists(numbers, max_size=60), min_size=1, max_size=4)
weights = st.one_of(st.floats(0.01, 0.999), st.sampled_from([1e-300, 0.5, 0.6, 0.9999]))


def rows_of(series: list[list[float]]) -> Buckets:
    owners = np.array([owner for owner, own in enumerate(series) for _ in own], np.int64)
    steps = np.array([step for own in series for step in range(len(own))], np.int64)
    values = np.array([value for own in series for value in own], np.float64)
    return from_points(owners, steps, values, None, np.zeros(len(series), np.int64), extremes=False)


def loop(values: list[float], weight: float) -> list[float]:
    """Return what TensorBoard computes, value by value; what is not finite leaves the average as it is."""
    last, count, smoothed = 0.0, 0, []
    for value in values:
        if math.isfinite(value):
            last = last * weight + (1 - weight) * value
            count += 1
        smoothed.append(last / (1 - weight**count) if count else math.nan)
    return smoothed


@given(some_series, weights)
def test_it_is_tensorboards_loop_for_each_series(series: list[list[float]], weight: float) -> None:
    found = moving_averages(rows_of(series), len(series), weight)
    expected = [value for own in series for value in loop(own, weight)]
    assert found.tolist() == pytest.approx(expected, rel=1e-7, abs=1e-6, nan_ok=True)


def test_it_is_what_pandas_says_of_a_long_series() -> None:
    values = np.random.default_rng(1).normal(3, 1, 30_000)
    values[::97] = math.nan
    for weight in (0.1, 0.9, 0.999):
        expected = pd.Series(values).ewm(alpha=1 - weight, adjust=True, ignore_na=True).mean()
        found = moving_averages(rows_of([values.tolist()]), 1, weight)
        np.testing.assert_allclose(found, expected.to_numpy(), rtol=1e-11)


def test_bits_depend_on_no_other_series_and_on_nothing_later() -> None:
    values = np.random.default_rng(4).normal(size=3_000).tolist()
    whole = moving_averages(rows_of([values]), 1, 0.97).tolist()
    beside = moving_averages(rows_of([[1.0] * 700, values, [], [2.0] * 5]), 4, 0.97).tolist()
    assert beside[700:3_700] == whole
    assert moving_averages(rows_of([values[:1_234]]), 1, 0.97).tolist() == whole[:1_234]


def test_a_bucket_counts_as_its_values() -> None:
    values = np.repeat(np.random.default_rng(2).normal(size=50), 128)
    rows = rows_of([values.tolist()])
    exact = moving_averages(rows, 1, 0.99)
    of_buckets = moving_averages(widen(rows, np.array([7])), 1, 0.99)
    # All values of a bucket are equal here, so that its mean determines them.
    np.testing.assert_allclose(of_buckets, exact[127::128], rtol=1e-10)


def test_averages_are_found_by_step() -> None:
    rows = rows_of([[1.0, 2.0, 3.0], [], [5.0] * 4])
    averages = np.array([10.0, 20.0, 30.0, 1.0, 2.0, 3.0, 4.0])
    first, none, last = averages_at_steps(rows, averages, [np.array([1, 0]), np.array([3]), np.array([0, 2, 9])])
    assert (first.tolist(), last.tolist()) == ([20, 10], [1, 3, 4])
    assert np.isnan(none).all()


def test_the_finest_level_that_is_short_enough() -> None:
    assert finest_level(1_000, 1_000, 1_000) == 0
    assert finest_level(10**9, 500, 1_000) == 0
    assert finest_level(1_001, 1_001, 1_000) == 7
    assert finest_level(10**8, 10**8, 10**6) == 7
    assert finest_level(10**9, 10**9, 10**6) == 12
    assert finest_level(2**62, 2**62, 10) == 27
