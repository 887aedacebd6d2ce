"""Rows of several series brought down to buckets of `2**shift` steps. Pure, columnar, over all series at once.

Bits do not depend on the order in which ClickHouse's threads and parts gave the rows: they are sorted by series and
step before a sum is taken. -0.0 and 0.0 are one value, whichever of the two a minimum shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SCALE: Final = 2.0**-64
"""The factor of scaled sums: exact, and small enough that 2^64 values of any size don't pass float64's range."""

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

_LARGEST: Final = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class Buckets:
    """n buckets in columns, each of what a series has in a range of steps; sorted by series, then by step.

    `owner` numbers the series. `step`, `value` and `time` (milliseconds since the epoch) are the last row's. `low` and
    `high` leave NaN out and are NaN where all is; `low_step` and `high_step` say where they first occurred. `total` is
    the sum of the `finite` values, `nans` counts NaN, `rows` all. `time`, and the extremes' steps, are None where
    nobody asked for them. `scaled` is the sum of the finite values times SCALE, where one of the totals is beyond the
    range of float64.
    """

    owner: Int64s
    step: Int64s
    last: Float64s
    min: Float64s
    max: Float64s
    total: Float64s
    finite_count: Int64s
    nan_count: Int64s
    count: Int64s
    time: Int64s | None = None
    min_step: Int64s | None = None
    max_step: Int64s | None = None
    scaled: Float64s | None = None

    @classmethod
    def empty(cls) -> Buckets:
        """Return no buckets."""
        ints, floats = np.empty(0, np.int64), np.empty(0, np.float64)
        return cls(ints, ints, floats, floats, floats, floats, ints, ints, ints)

    def __len__(self) -> int:
        return len(self.owner)

    def take(self, chosen: Any) -> Buckets:
        """Return the chosen buckets: a slice, a mask or places."""
        columns: Any = [None if column is None else column[chosen] for column in _columns(self)]
        return Buckets(*columns)

    def owned(self, owner: Int64s) -> Buckets:
        """Return the same buckets under other numbers of their series."""
        return replace(self, owner=owner)

    def split(self, owners: int) -> list[Buckets]:
        """Return the buckets of each series."""
        bounds = self.bounds(owners).tolist()
        return [self.take(slice(start, end)) for start, end in pairwise(bounds)]

    def bounds(self, owners: int) -> Int64s:
        """Return where each series' buckets begin, and the end: int64[owners + 1]."""
        return np.searchsorted(self.owner, np.arange(owners + 1))

    def counts(self, owners: int) -> Int64s:
        """Return the rows that each series' buckets stand for."""
        return self.sums(self.count, owners)

    def sums(self, column: Int64s, owners: int) -> Int64s:
        """Return the sum of a column for each series."""
        ends = self.bounds(owners)
        return np.diff(np.concatenate(([0], np.cumsum(column)))[ends])


_columns = attrgetter(*(field.name for field in fields(Buckets)))


def concatenate(parts: Sequence[Buckets]) -> Buckets:
    """Return the buckets of all parts, sorted; a series may have buckets in several."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return Buckets.empty()
    if any(part.scaled is not None for part in parts):
        parts = [replace(part, scaled=_scaled(part)) for part in parts]
    columns = zip(*(_columns(part) for part in parts), strict=True)
    merged = parts[0] if len(parts) == 1 else Buckets(*[_joined(column) for column in columns])
    if is_sorted(merged.owner, merged.step):
        return merged
    return merged.take(np.lexsort((merged.step, merged.owner)))


def is_sorted(owner: Int64s, step: Int64s) -> bool:
    """Whether rows are sorted by series, then by step."""
    same = owner[1:] == owner[:-1]
    return bool(((owner[1:] > owner[:-1]) | (same & (step[1:] >= step[:-1]))).all())


def from_points(
    owner: Int64s, step: Int64s, value: Float64s, time: Int64s | None, shifts: Int64s, extremes: bool
) -> Buckets:
    """Bring points, sorted by series and step, to buckets of `2**shifts[owner]` steps.

    Args:
        time: int64[n], None where nobody wants it. extremes: whether the extremes' steps are wanted.
    """
    if not len(owner):
        return Buckets.empty()
    finite = np.isfinite(value)
    total = value if finite.all() else np.where(finite, value, 0.0)
    starts, ends = _runs(owner, step >> shifts[owner])
    rows = ends - starts + 1
    low, high = np.fmin.reduceat(value, starts), np.fmax.reduceat(value, starts)
    totals = _sums(total, starts)
    return Buckets(
        owner[starts], step[ends], value[ends], low, high, totals,
        np.add.reduceat(finite, starts, dtype=np.int64), np.add.reduceat(np.isnan(value), starts, dtype=np.int64), rows,
        None if time is None else time[ends],
        _first_at(step, value, low, starts, rows) if extremes else None,
        _first_at(step, value, high, starts, rows) if extremes else None,
        None if np.isfinite(totals).all() else _sums(total * SCALE, starts),
    )  # fmt: skip


def widen(buckets: Buckets, shifts: Int64s) -> Buckets:
    """Bring buckets to wider ones of `2**shifts[owner]` steps, each of which holds whole ones of them."""
    if not len(buckets):
        return buckets
    starts, ends = _runs(buckets.owner, buckets.step >> shifts[buckets.owner])
    if len(starts) == len(buckets):
        return buckets
    parts = ends - starts + 1
    low, high = np.fmin.reduceat(buckets.min, starts), np.fmax.reduceat(buckets.max, starts)
    min_step, max_step = buckets.min_step, buckets.max_step
    totals = _sums(buckets.total, starts)
    return Buckets(
        buckets.owner[starts], buckets.step[ends], buckets.last[ends], low, high, totals,
        np.add.reduceat(buckets.finite_count, starts), np.add.reduceat(buckets.nan_count, starts),
        np.add.reduceat(buckets.count, starts),
        None if buckets.time is None else buckets.time[ends],
        None if min_step is None else _first_at(min_step, buckets.min, low, starts, parts),
        None if max_step is None else _first_at(max_step, buckets.max, high, starts, parts),
        None if np.isfinite(totals).all() else _sums(_scaled(buckets), starts),
    )  # fmt: skip


def means(buckets: Buckets) -> Float64s:
    """Return the mean of each bucket's finite values, and its last value where it has none."""
    counts = np.maximum(buckets.finite_count, 1)
    result = np.where(buckets.finite_count > 0, buckets.total / counts, buckets.last)
    if buckets.scaled is None:
        return result
    beyond = sum_overflows(buckets)
    # The last digit may carry the mean of the largest numbers over float64's end.
    with np.errstate(over="ignore"):
        unscaled = np.clip(buckets.scaled / counts / SCALE, -_LARGEST, _LARGEST)
    return np.where(beyond, unscaled, result)


def sum_overflows(buckets: Buckets) -> NDArray[np.bool_]:
    """Return which buckets have finite values whose sum is beyond the range of float64."""
    return (buckets.finite_count > 0) & ~np.isfinite(buckets.total)


def _scaled(buckets: Buckets) -> Float64s:
    return buckets.total * SCALE if buckets.scaled is None else buckets.scaled


def _joined(columns: Sequence[Any]) -> Any:
    return None if any(column is None for column in columns) else np.concatenate(columns)


def _sums(values: Float64s, starts: Int64s) -> Float64s:
    with np.errstate(over="ignore", invalid="ignore"):
        sums: Float64s = np.add.reduceat(values, starts)
    return sums


def _runs(owner: Int64s, bucket: Int64s) -> tuple[Int64s, Int64s]:
    """Return the places of the first and the last of each run of rows that agree in both."""
    if not len(owner):
        return owner, owner
    changes = (owner[1:] != owner[:-1]) | (bucket[1:] != bucket[:-1])
    starts = np.flatnonzero(np.concatenate(([True], changes)))
    return starts, np.append(starts[1:], len(owner)) - 1


def _first_at(step: Int64s, value: Float64s, target: Float64s, starts: Int64s, counts: Int64s) -> Int64s:
    """Return, of each run of rows, the step of the first whose value is the wanted one; 0 where that is NaN."""
    places = np.where(value == np.repeat(target, counts), np.arange(len(value)), len(value))
    first = np.minimum.reduceat(places, starts)
    return np.where(first < len(value), step[np.minimum(first, len(value) - 1)], 0)
