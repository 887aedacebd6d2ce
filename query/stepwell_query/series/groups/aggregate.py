"""Aggregation of series of many runs by group.

All runs of a series share buckets of one width, which start at multiples of it. In each bucket a run contributes the
mean of its finite values, whatever their number. A run without finite values in a bucket contributes nothing: values
are neither carried forward nor interpolated nor replaced by 0. Runs of different lengths and densities therefore have
equal weight, and `count` is the number of runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell_query.series.math.buckets import Buckets, Float64s, Int64s, means
from stepwell_schemas.rollups.arrays import run_starts

_SAFE_EXPONENT: Final = 400
"""Binary logarithm of the largest values whose sum of squares, over any number of runs, fits into float64."""


@dataclass(frozen=True, slots=True)
class GroupBuckets:
    """n buckets in columns, ascending by `group`, then by step.

    `step` is the last step of any run in the bucket. `mean`, `min`, `max` and `std` (the sample standard deviation, NaN
    for one run) are over the means of the `runs` runs; `low` and `high` are the extremes of all their values.
    `min_owner` and `max_owner` are the indexes of the first series with the means `min` and `max`.
    """

    group: Int64s
    step: Int64s
    mean: Float64s
    min: Float64s
    max: Float64s
    std: Float64s
    runs: Int64s
    low: Float64s
    high: Float64s
    min_owner: Int64s
    max_owner: Int64s

    def select_group(self, group: int) -> GroupBuckets:
        """Return the buckets of one group."""
        own = slice(*np.searchsorted(self.group, [group, group + 1]).tolist())
        return GroupBuckets(*(getattr(self, field.name)[own] for field in fields(self)))


def aggregate_groups(buckets: Buckets, shifts: Int64s, members: Sequence[tuple[int, int]]) -> GroupBuckets:
    """Aggregate series by group.

    Args:
        buckets: the buckets of all series; each series belongs to one run.
        shifts: the shift of each series, equal for the series of one group.
        members: pairs of (series, group); a series may be in several groups, or in none.
    """
    owners = np.array([owner for owner, _ in members], np.int64)
    groups = np.array([group for _, group in members], np.int64)
    bounds = buckets.bounds(len(shifts))
    sizes = bounds[owners + 1] - bounds[owners]
    # The indexes of the buckets of each member, member by member.
    places = np.arange(int(sizes.sum())) + np.repeat(bounds[owners] - np.cumsum(sizes) + sizes, sizes)
    group = np.repeat(groups, sizes)
    counted = buckets.finite_count[places] > 0
    places, group = places[counted], group[counted]
    bucket = buckets.step[places] >> shifts[buckets.owner[places]]
    order = np.lexsort((bucket, group))
    places, group, bucket = places[order], group[order], bucket[order]
    return _summed(buckets.take(places), group, bucket)


def _summed(buckets: Buckets, group: Int64s, bucket: Int64s) -> GroupBuckets:
    if not len(group):
        none = np.empty(0, np.float64)
        return GroupBuckets(group, group, none, none, none, none, group, none, none, group, group)
    starts = run_starts(group, bucket)
    runs = np.diff(np.append(starts, len(group)))
    values = means(buckets)
    mean, std = _moments(values, starts, runs)
    lowest, highest = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    return GroupBuckets(
        group[starts], np.maximum.reduceat(buckets.step, starts), mean, lowest, highest, std, runs,
        np.fmin.reduceat(buckets.min, starts), np.fmax.reduceat(buckets.max, starts),
        buckets.owner[_first(values == np.repeat(lowest, runs), starts)],
        buckets.owner[_first(values == np.repeat(highest, runs), starts)],
    )  # fmt: skip


def _first(chosen: NDArray[np.bool_], starts: Int64s) -> Int64s:
    """Return the first chosen index of each segment, or the first index of a segment without any."""
    indexes = np.flatnonzero(chosen)
    segments = np.searchsorted(starts, indexes, "right") - 1
    first = starts.copy()
    # Of several assignments to one place, numpy keeps the last one.
    first[segments[::-1]] = indexes[::-1]
    return first


def _moments(values: Float64s, starts: Int64s, runs: Int64s) -> tuple[Float64s, Float64s]:
    """Return the mean and the standard deviation of each group's values without overflow.

    Where sums or squares could overflow, they are computed from values scaled by a power of two of their group.
    """
    largest = np.maximum.reduceat(np.abs(values), starts)
    _, exponents = np.frexp(np.where(np.isfinite(largest), largest, 0.0))
    exponents = np.where(np.abs(exponents) > _SAFE_EXPONENT, exponents, 0)
    scaled = np.ldexp(values, -np.repeat(exponents, runs))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(scaled, starts) / runs
        squares = np.add.reduceat((scaled - np.repeat(mean, runs)) ** 2, starts)
        std = np.where(runs > 1, np.sqrt(squares / np.maximum(runs - 1, 1)), np.nan)
        return np.ldexp(mean, exponents), np.ldexp(std, exponents)


def group_values(values: Sequence[Sequence[Any]]) -> tuple[list[Any], list[list[int]]]:
    """Return the distinct values of all members, sorted, and the indexes of each member's values among them, each once.

    Numbers come first, then strings, then other values by their JSON, and None last.
    """
    texts = {_json(value): value for own in values for value in own}
    ordered = sorted(texts, key=lambda text: _rank(texts[text], text))
    places = {text: index for index, text in enumerate(ordered)}
    # A member with a tag twice counts once.
    return [texts[text] for text in ordered], [list({places[_json(value)]: None for value in own}) for own in values]


def _json(value: Any) -> str:
    # 1 and 1.0 are the same value; True is a different one.
    plain = float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _rank(value: Any, text: str) -> tuple[int, float, str]:
    if value is None:
        return 3, 0.0, ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return (1, 0.0, value) if isinstance(value, str) else (2, 0.0, text)
