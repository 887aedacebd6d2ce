"""Series of many runs summed up by group: pure.

All runs of a series share buckets of one width, on multiples of it. In each bucket, a run counts with the mean of its
finite values there, however many they are; a run that has none there does not count: nothing is carried on,
interpolated or taken for 0. So runs of different lengths and densities weigh alike where they are, and `count` says
how many they were.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from stepwell_query.series.math.buckets import Buckets, Float64s, Int64s, means

_SAFE_EXPONENT: Final = 400
"""Binary logarithm of the largest values whose squares, of any number of runs, stay within float64."""


@dataclass(frozen=True, slots=True)
class GroupBuckets:
    """n buckets in columns, ascending by `group`, then by step.

    `step` is the last one of any run in the bucket. `mean`, `least`, `greatest` and `std` (of a sample: NaN of one run)
    are of the runs' means, of which there are `runs`; `low` and `high` are the extremes of all their values.
    """

    group: Int64s
    step: Int64s
    mean: Float64s
    least: Float64s
    greatest: Float64s
    std: Float64s
    runs: Int64s
    low: Float64s
    high: Float64s

    def of(self, group: int) -> GroupBuckets:
        """Return the buckets of one group."""
        own = slice(*np.searchsorted(self.group, [group, group + 1]).tolist())
        return GroupBuckets(*(getattr(self, field.name)[own] for field in fields(self)))


def grouped(buckets: Buckets, shifts: Int64s, members: Sequence[tuple[int, int]]) -> GroupBuckets:
    """Sum up series by group.

    Args:
        buckets: of one series of one run each. shifts: of each, alike for those that share a group.
        members: (series, group); a series may be in several groups, or in none.
    """
    owners = np.array([owner for owner, _ in members], np.int64)
    groups = np.array([group for _, group in members], np.int64)
    bounds = buckets.bounds(len(shifts))
    sizes = bounds[owners + 1] - bounds[owners]
    # The places of each member's buckets, one member after the other.
    places = np.arange(int(sizes.sum())) + np.repeat(bounds[owners] - np.cumsum(sizes) + sizes, sizes)
    group = np.repeat(groups, sizes)
    counted = buckets.finite[places] > 0
    places, group = places[counted], group[counted]
    bucket = buckets.step[places] >> shifts[buckets.owner[places]]
    order = np.lexsort((bucket, group))
    places, group, bucket = places[order], group[order], bucket[order]
    return _summed(buckets.take(places), group, bucket)


def _summed(buckets: Buckets, group: Int64s, bucket: Int64s) -> GroupBuckets:
    if not len(group):
        none = np.empty(0, np.float64)
        return GroupBuckets(group, group, none, none, none, none, group, none, none)
    starts = np.flatnonzero(np.concatenate(([True], (group[1:] != group[:-1]) | (bucket[1:] != bucket[:-1]))))
    runs = np.diff(np.append(starts, len(group)))
    values = means(buckets)
    mean, std = _moments(values, starts, runs)
    return GroupBuckets(
        group[starts], np.maximum.reduceat(buckets.step, starts), mean,
        np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts), std, runs,
        np.fmin.reduceat(buckets.low, starts), np.fmax.reduceat(buckets.high, starts),
    )  # fmt: skip


def _moments(values: Float64s, starts: Int64s, runs: Int64s) -> tuple[Float64s, Float64s]:
    """Return the mean and the standard deviation of each group's values; the range of float64 holds all means.

    Sums and squares are taken of values that are scaled by a power of two of their group, where they could overflow.
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


def groups_of(values: Sequence[Sequence[Any]]) -> tuple[list[Any], list[list[int]]]:
    """Return the different values that members have, sorted, and the places of each member's values among them.

    Numbers come first, then texts, then the rest by its JSON, and None last.
    """
    texts = {_json(value): value for own in values for value in own}
    ordered = sorted(texts, key=lambda text: _rank(texts[text], text))
    places = {text: place for place, text in enumerate(ordered)}
    return [texts[text] for text in ordered], [[places[_json(value)] for value in own] for own in values]


def _json(value: Any) -> str:
    # 1 and 1.0 are one value, True is another.
    plain = float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _rank(value: Any, text: str) -> tuple[int, float, str]:
    if value is None:
        return 3, 0.0, ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, float(value), ""
    return (1, 0.0, value) if isinstance(value, str) else (2, 0.0, text)
