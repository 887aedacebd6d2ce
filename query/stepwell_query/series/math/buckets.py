"""Aggregation of rows of several series into buckets of `2**shift` steps, in columns over all series together.

Results are identical to the bit whatever the order in which ClickHouse returns rows: rows are sorted by series and step
before they are summed. -0.0 and 0.0 count as equal, and a minimum or maximum may be either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell_schemas.rollups.arrays import first_indexes, run_starts

SCALE: Final = 2.0**-64
"""The factor of scaled sums: exact, and small enough that 2^64 values of any size do not overflow float64."""

Int64s = NDArray[np.int64]
Float64s = NDArray[np.float64]

_LARGEST: Final = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class Buckets:
    """n buckets in columns, sorted by series, then by step; each aggregates the rows of a series in a range of steps.

    Attributes:
        owner: index of the series.
        step: step of the last row; `last` is its value, `time` its time in milliseconds since the epoch.
        min: least value without NaN, NaN if all values are NaN; `min_step` is its first step. `max` is analogous.
        total: sum of the finite values; `finite_count` is their number.
        nan_count: number of NaN values; `count` is the number of all rows.
        scaled: sum of the finite values times SCALE, present if a total overflows float64.

    `time`, `min_step` and `max_step` are None if they were not requested.
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
        """Return the buckets that a slice, a mask or an array of indexes selects."""
        columns: Any = [None if column is None else column[chosen] for column in _columns(self)]
        return Buckets(*columns)

    def owned(self, owner: Int64s) -> Buckets:
        """Return the same buckets with other owners."""
        return replace(self, owner=owner)

    def compacted(self) -> Buckets:
        """Return a copy in as little memory as possible: a column of equal integers takes that of one."""
        columns: Any = [None if column is None else _compacted(column) for column in _columns(self)]
        return Buckets(*columns)

    @property
    def size(self) -> int:
        """The bytes of the columns in memory."""
        return sum(
            column.nbytes if any(column.strides) else column.itemsize for column in _columns(self) if column is not None
        )

    def split(self, owners: int) -> list[Buckets]:
        """Return the buckets of each series."""
        bounds = self.bounds(owners).tolist()
        return [self.take(slice(start, end)) for start, end in pairwise(bounds)]

    def bounds(self, owners: int) -> Int64s:
        """Return the start of each series' buckets, and the end: int64[owners + 1]."""
        return np.searchsorted(self.owner, np.arange(owners + 1))

    def counts(self, owners: int) -> Int64s:
        """Return the number of rows that each series' buckets represent."""
        return self.sums(self.count, owners)

    def sums(self, column: Int64s, owners: int) -> Int64s:
        """Return the sum of a column for each series."""
        ends = self.bounds(owners)
        return np.diff(np.concatenate(([0], np.cumsum(column)))[ends])


_columns = attrgetter(*(field.name for field in fields(Buckets)))


def concatenate(parts: Sequence[Buckets]) -> Buckets:
    """Return the buckets of all parts, sorted; a series may have buckets in several parts."""
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
    """Return True if rows are sorted by series, then by step."""
    same = owner[1:] == owner[:-1]
    return bool(((owner[1:] > owner[:-1]) | (same & (step[1:] >= step[:-1]))).all())


def from_points(
    owner: Int64s, step: Int64s, value: Float64s, time: Int64s | None, shifts: Int64s, extremes: bool
) -> Buckets:
    """Aggregate points, sorted by series and step, into buckets of `2**shifts[owner]` steps.

    Args:
        owner: index of each point's series; `step` and `value` belong to the point.
        time: int64[n], None if not requested.
        shifts: shift of each series.
        extremes: request `min_step` and `max_step`.
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
        _first_at(step, value, low, starts) if extremes else None,
        _first_at(step, value, high, starts) if extremes else None,
        None if np.isfinite(totals).all() else _sums(total * SCALE, starts),
    )  # fmt: skip


def widen(buckets: Buckets, shifts: Int64s) -> Buckets:
    """Merge buckets into buckets of `2**shifts[owner]` steps, which must be at least as wide."""
    if not len(buckets):
        return buckets
    starts, ends = _runs(buckets.owner, buckets.step >> shifts[buckets.owner])
    if len(starts) == len(buckets):
        return buckets
    low, high = np.fmin.reduceat(buckets.min, starts), np.fmax.reduceat(buckets.max, starts)
    min_step, max_step = buckets.min_step, buckets.max_step
    totals = _sums(buckets.total, starts)
    return Buckets(
        buckets.owner[starts], buckets.step[ends], buckets.last[ends], low, high, totals,
        np.add.reduceat(buckets.finite_count, starts), np.add.reduceat(buckets.nan_count, starts),
        np.add.reduceat(buckets.count, starts),
        None if buckets.time is None else buckets.time[ends],
        None if min_step is None else _first_at(min_step, buckets.min, low, starts),
        None if max_step is None else _first_at(max_step, buckets.max, high, starts),
        None if np.isfinite(totals).all() else _sums(_scaled(buckets), starts),
    )  # fmt: skip


def means(buckets: Buckets) -> Float64s:
    """Return the mean of each bucket's finite values, or its last value if it has none."""
    counts = np.maximum(buckets.finite_count, 1)
    result = np.where(buckets.finite_count > 0, buckets.total / counts, buckets.last)
    if buckets.scaled is None:
        return result
    beyond = sum_overflows(buckets)
    # Rounding may carry the mean of the largest numbers beyond the range of float64.
    with np.errstate(over="ignore"):
        unscaled = np.clip(buckets.scaled / counts / SCALE, -_LARGEST, _LARGEST)
    return np.where(beyond, unscaled, result)


def sum_overflows(buckets: Buckets) -> NDArray[np.bool_]:
    """Return a mask of the buckets whose sum of finite values overflows float64."""
    return (buckets.finite_count > 0) & ~np.isfinite(buckets.total)


def _scaled(buckets: Buckets) -> Float64s:
    return buckets.total * SCALE if buckets.scaled is None else buckets.scaled


def _compacted(column: NDArray[Any]) -> NDArray[Any]:
    # Equal floats may differ in their bits.
    if column.dtype.kind == "i" and len(column) and (column == column[0]).all():
        return np.broadcast_to(column[0].copy(), column.shape)
    return column.copy()


def _joined(columns: Sequence[Any]) -> Any:
    return None if any(column is None for column in columns) else np.concatenate(columns)


def _sums(values: Float64s, starts: Int64s) -> Float64s:
    with np.errstate(over="ignore", invalid="ignore"):
        sums: Float64s = np.add.reduceat(values, starts)
    return sums


def _runs(owner: Int64s, bucket: Int64s) -> tuple[Int64s, Int64s]:
    """Return the indexes of the first and the last row of each run of rows with equal owner and bucket."""
    if not len(owner):
        return owner, owner
    starts = run_starts(owner, bucket)
    return starts, np.append(starts[1:], len(owner)) - 1


def _first_at(step: Int64s, value: Float64s, target: Float64s, starts: Int64s) -> Int64s:
    """Return for each group of rows the step of its first row with the target value; 0 if the target is NaN."""
    first, present = first_indexes(value, target, starts)
    return np.where(present, step[first], 0)
