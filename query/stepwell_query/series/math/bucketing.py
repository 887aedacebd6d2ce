"""The bucket rule: reduces a series of any length to a view of at most a given number of points.

A range [first, last] of steps is split into buckets of `2**shift` steps, bucket `step >> shift`, with the smallest
shift that needs at most `points` buckets. Buckets start at multiples of their width, not at the start of the range.
Hence

- the same request gives the same buckets, independent of earlier requests;
- zooms nest: a bucket of a closer view lies entirely within one bucket of a wider view;
- new steps of a run change only the bucket that contains them, until the width doubles; then each new bucket is
  exactly two old ones.

A bucket has its last value with the step of that value, and min, max, mean and counts of all its values, so that no
extreme is lost, whatever the width. NaN is excluded from min, max and mean, and counted. min and max include ±Inf;
the mean is of the finite values. With at most `points` rows in the range, the view consists of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """Buckets of a view of the steps `first`..`last`, both included; with `shift` 0, the view consists of rows."""

    first: int
    last: int
    shift: int

    @property
    def width(self) -> int:
        """The number of steps in a bucket."""
        return 1 << self.shift


def bucket_shift(first: int, last: int, points: int) -> int:
    """Return the smallest shift with which the steps `first`..`last` touch at most `points` buckets.

    With d = last - first, shift k needs at least (d >> k) + 1 buckets, so d // points < 2**k must hold. If the range
    straddles a border it needs one bucket more, which may require a larger shift.
    """
    shift = ((last - first) // points).bit_length()
    while (last >> shift) - (first >> shift) + 1 > points:
        shift += 1
    return shift


def filled_shift(series: Sequence[tuple[int, int]]) -> int:
    """Return the shift of buckets as wide as the median, over some series, of the steps between two rows.

    `series` has for each series the number of steps from its first to its last row, and its number of rows.
    """
    spacings = sorted(max(1, -(-steps // (rows - 1))) for steps, rows in series if rows > 1)
    return (spacings[(len(spacings) - 1) // 2] - 1).bit_length() if spacings else 0


def clip(first: int, last: int, step_from: int | None, step_to: int | None) -> tuple[int, int] | None:
    """Return the intersection of the steps `first`..`last` of a series with `step_from`..`step_to`; None if empty."""
    start = first if step_from is None else max(first, step_from)
    end = last if step_to is None else min(last, step_to)
    return (start, end) if start <= end else None


def bucket_plan(first: int, last: int, rows: int, points: int) -> BucketPlan:
    """Plan a view of the steps `first`..`last`, which hold at most `rows` rows, by at most `points` points."""
    if rows <= points:
        return BucketPlan(first, last, 0)
    return BucketPlan(first, last, bucket_shift(first, last, points))


def limit_point_reads(shifts: Sequence[int], rows: Sequence[int], least: int, budget: int) -> list[int]:
    """Return the shifts of series that are read together, some of them raised to `least`, the finest rollup level.

    Series with a shift between 0 and `least` are read from points. While these have more than `budget` rows together,
    the ones with the greatest shift are raised: they lose the smallest share of their points, a half or three quarters.
    """
    result = list(shifts)
    for shift in range(least - 1, 0, -1):
        if sum(count for count, own in zip(rows, result, strict=True) if 0 < own < least) <= budget:
            break
        result = [least if own == shift else own for own in result]
    return result


def limit_rollup_reads(shifts: Sequence[int], steps: Sequence[int], levels: Sequence[int], budget: int) -> list[int]:
    """Return the shifts of keys that are read together, raised until their series have at most `budget` rollups.

    `steps` has for each key the number of steps of all its series. Those of the finest level of all are raised to the
    next level, and so on: their views have up to 32 times fewer points, and the read costs 32 times less.
    """
    result = list(shifts)
    for finer, coarser in pairwise(levels):
        of_level = [max((level for level in levels if level <= shift), default=None) for shift in result]
        rows = sum(count >> level for count, level in zip(steps, of_level, strict=True) if level is not None)
        if rows <= budget:
            break
        result = [coarser if level == finer else shift for shift, level in zip(result, of_level, strict=True)]
    return result


@dataclass(frozen=True, slots=True)
class StepBuckets:
    """Equal buckets over the steps from `first`: bucket `(step - first) * multiplier // divisor`."""

    first: int
    multiplier: int
    divisor: int


_INT64_MAX = 2**63 - 1


def step_buckets(first: int, last: int, samples: int) -> StepBuckets:
    """Split the steps `first`..`last` into at most `samples - 1` equal buckets, for sampling rows jointly.

    The last row of each bucket and the very first row are at most `samples` rows, including the first and the last
    row of the range; if every step has a row, they are exactly `samples`. `samples` is at least 2.
    """
    buckets = samples - 1
    span = last - first + 1
    if span * buckets <= _INT64_MAX:
        return StepBuckets(first, buckets, span)
    return StepBuckets(first, 1, -(-span // buckets))
