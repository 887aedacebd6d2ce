"""Means of values whose sums are beyond the range of float64."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.rows.interpolation import linear
from stepwell_query.series.groups.aggregate import aggregate_groups
from stepwell_query.series.math.buckets import Buckets, concatenate, from_points, means, widen

LARGEST = float(np.finfo(np.float64).max)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def buckets_of(values: list[float], shift: int) -> Buckets:
    owner = np.zeros(len(values), np.int64)
    return from_points(
        owner, np.arange(len(values)), np.array(values), None, np.array([shift], np.int64), extremes=False
    )


def exact_mean(values: list[float]) -> float:
    return float(sum(map(Fraction, values)) / len(values))


@given(st.lists(FINITE, min_size=1, max_size=64))
def test_the_mean_of_finite_values_is_finite_and_near_the_true_one(values: list[float]) -> None:
    largest = max(map(abs, values))
    for narrow in (0, 2, 6):
        (found,) = means(widen(buckets_of(values, narrow), np.array([6], np.int64))).tolist()
        assert found == pytest.approx(exact_mean(values), abs=largest * 1e-13, rel=1e-12)


def test_a_mean_leaves_out_what_is_not_finite() -> None:
    (found,) = means(buckets_of([1e308, float("inf"), 1e308, float("nan")], 2)).tolist()
    assert found == pytest.approx(1e308)
    assert means(buckets_of([LARGEST] * 64, 6)).tolist() == [LARGEST]


def test_parts_with_and_without_scaled_sums_are_put_together() -> None:
    large, small = buckets_of([1e308] * 4, 2), buckets_of([1.0] * 4, 2)
    assert small.scaled is None
    assert large.scaled is not None
    both = concatenate([large, small.owned(np.ones(1, np.int64))])
    assert means(both).tolist() == pytest.approx([1e308, 1.0])


@given(st.lists(FINITE, min_size=2, max_size=8))
def test_groups_have_finite_means_and_deviations(values: list[float]) -> None:
    owner = np.arange(len(values))
    zeros = np.zeros(len(values), np.int64)
    rows = from_points(owner, zeros, np.array(values), None, zeros, extremes=False)
    found = aggregate_groups(rows, zeros, [(place, 0) for place in range(len(values))])
    mean = exact_mean(values)
    largest = max(map(abs, values))
    assert found.mean[0] == pytest.approx(mean, abs=largest * 1e-13)
    squares = sum((Fraction(value) - Fraction(mean)) ** 2 for value in values) / (len(values) - 1)
    scale = Fraction(largest) or Fraction(1)
    std = float(squares / scale**2) ** 0.5 * float(scale)
    assert found.std[0] == pytest.approx(std, abs=largest * 1e-7)


def test_a_line_between_the_largest_numbers_is_drawn() -> None:
    values, there = linear(np.array([0, 4]), np.array([-LARGEST, LARGEST]), np.array([1, 2, 3]))
    assert there.all()
    assert values.tolist() == pytest.approx([-LARGEST / 2, 0.0, LARGEST / 2])
