"""The bucket rule: how a series of any length becomes a view of at most a given number of points.

A range [first, last] of steps is cut into buckets of `2**shift` steps, bucket `step >> shift`, with the smallest
shift that needs at most `points` buckets. Buckets lie on absolute multiples of their width, not on the range. Hence

- the same request gives the same buckets, whatever was asked before;
- zooms nest: a bucket of a closer view lies wholly within one bucket of a wider view;
- a run that goes on changes only the bucket its new steps fall into, until the width doubles, and then each new
  bucket is exactly two old ones.

Each bucket keeps its last value with that value's step, and min, max, mean and counts of all its values, so no
extreme is lost, however wide the bucket. NaN is left out of min, max and mean, and counted. ±Inf is kept by min
and max; the mean is that of the finite values. With at most `points` rows in range, the rows are the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """Which buckets answer a request for steps `first`..`last` (both included); `shift` 0: every row as it is."""

    first: int
    last: int
    shift: int

    @property
    def width(self) -> int:
        """Steps in one bucket."""
        return 1 << self.shift


def bucket_shift(first: int, last: int, points: int) -> int:
    """Return the smallest shift with which the steps `first`..`last` touch at most `points` buckets.

    With d = last - first, shift k needs at least (d >> k) + 1 buckets, so d // points < 2**k must hold; one bucket
    more, where the range straddles a border, may ask for a larger shift.
    """
    shift = ((last - first) // points).bit_length()
    while (last >> shift) - (first >> shift) + 1 > points:
        shift += 1
    return shift


def filled_shift(series: Sequence[tuple[int, int]]) -> int:
    """Return the shift of buckets that are as wide as the middle one of some series has steps between two rows.

    `series`: of each, how many steps lie between its first and its last row, and how many rows it has.
    """
    spacings = sorted(max(1, -(-steps // (rows - 1))) for steps, rows in series if rows > 1)
    return (spacings[(len(spacings) - 1) // 2] - 1).bit_length() if spacings else 0


def clip(first: int, last: int, low: int | None, high: int | None) -> tuple[int, int] | None:
    """Return the part of the series' steps `first`..`last` within `low`..`high`, None when there is none."""
    start = first if low is None else max(first, low)
    end = last if high is None else min(last, high)
    return (start, end) if start <= end else None


def bucket_plan(first: int, last: int, rows: int, points: int) -> BucketPlan:
    """Plan a view of the steps `first`..`last`, which hold at most `rows` rows, by at most `points` points."""
    if rows <= points:
        return BucketPlan(first, last, 0)
    return BucketPlan(first, last, bucket_shift(first, last, points))


def limit_point_reads(shifts: Sequence[int], rows: Sequence[int], least: int, budget: int) -> list[int]:
    """Return the shifts of many series that are read at once, some raised to `least`, the narrowest that rollups serve.

    Series of a shift between are read point by point. Where they have more than `budget` rows together, those of the
    greatest shift are raised, as long as it takes: they lose the least of their points, a half or three quarters.
    """
    result = list(shifts)
    for shift in range(least - 1, 0, -1):
        if sum(count for count, own in zip(rows, result, strict=True) if 0 < own < least) <= budget:
            break
        result = [least if own == shift else own for own in result]
    return result


@dataclass(frozen=True, slots=True)
class StepBuckets:
    """Even buckets over the steps from `first` on: bucket `(step - first) * multiplier // divisor`."""

    first: int
    multiplier: int
    divisor: int


_INT64_MAX = 2**63 - 1


def step_buckets(first: int, last: int, samples: int) -> StepBuckets:
    """Cut the steps `first`..`last` into at most `samples - 1` even buckets, for rows sampled jointly.

    With the last row of each bucket and the very first row, a view has at most `samples` rows, the first and the
    last among them; where every step has a row, it has exactly `samples`. `samples` is at least 2.
    """
    buckets = samples - 1
    span = last - first + 1
    if span * buckets <= _INT64_MAX:
        return StepBuckets(first, buckets, span)
    return StepBuckets(first, 1, -(-span // buckets))
