"""Rollup rows as numpy arrays: build them from points, and merge them.

The results equal those of `stepwell_schemas.rollups.sql` bit for bit. Therefore sums add one value after the other in
the order of steps; neither numpy's `sum` nor ClickHouse's does that.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.columns import Int64s
from stepwell_schemas.rollups.arrays import first_indexes, run_starts

_INTEGERS: Final = ("bucket", "first_step", "last_step", "last_timestamp", "min_step", "max_step")
_FLOATS: Final = ("first_value", "last_value", "min_value", "max_value", "total")
COUNTS: Final = ("finite", "nans", "count")
ROW: Final = np.dtype([(name, "<f8" if name in _FLOATS else "<i8") for name in (*_INTEGERS, *_FLOATS, *COUNTS)])
"""A rollup row without series, level and version; the timestamp is in milliseconds since the epoch."""

UNKNOWN: Final = -1
"""The `bucket` of an unknown row."""

Rows = NDArray[np.void]
Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]


class Points(NamedTuple):
    """Points of k series with the same n steps: int64[n], strictly ascending; ms int64[n]; float64[k, n]."""

    steps: Int64s
    timestamps: Int64s
    values: Floats

    def of(self, chosen: Marks) -> Points:
        """Return the points of some of the series."""
        return self if chosen.all() else self._replace(values=self.values[chosen])


class FlatPoints(NamedTuple):
    """Points of any series in one sequence: series numbers ascend, and steps strictly ascend within a series."""

    series: Int64s
    steps: Int64s
    timestamps: Int64s
    values: Floats

    def of(self, chosen: Marks) -> FlatPoints:
        """Return the points of some of the series, renumbered from 0."""
        kept = self.at(chosen[self.series])
        return kept._replace(series=(np.cumsum(chosen) - 1)[kept.series])

    def at(self, places: Marks | Int64s) -> FlatPoints:
        """Return the points at the given indices."""
        return FlatPoints(self.series[places], self.steps[places], self.timestamps[places], self.values[places])


def rows_from_points(level: int, steps: Int64s, timestamps: Int64s, values: Floats, begun: Floats) -> Rows:
    """Return the full or partial rows of the buckets of points: [k, b] for k series and b buckets.

    Args:
        level: the level, binary logarithm of its buckets' width.
        steps: int64[n], strictly ascending, at least one.
        timestamps: int64[n], milliseconds.
        values: float64[k, n].
        begun: float64[k], the sum of each series' first bucket before these points.
    """
    buckets = steps >> level
    starts = run_starts(buckets)
    sums = np.zeros((len(values), len(starts)))
    sums[:, 0] = begun
    return rows_from_segments(level, Points(steps, timestamps, values), starts, sums)


def rows_from_segments(level: int, points: Points, starts: Int64s, begun: Floats) -> Rows:
    """Return the rows of runs of points that lie in one bucket each; a run ends at the next start: [k, b].

    Args:
        level: the level, binary logarithm of its buckets' width.
        points: steps int64[n] and timestamps int64[n] (ms), those of a bucket ascending, and values float64[k, n].
        starts: int64[b], ascending, the first 0.
        begun: float64[k, b], the sums of the buckets before these points.
    """
    steps, timestamps, values = points
    if len(starts) == len(steps):
        return _rows_of_single_points(level, points, begun)
    lengths = np.diff(np.append(starts, len(steps)))
    finite, numbers = np.isfinite(values), ~np.isnan(values)
    rows = np.zeros((len(values), len(starts)), ROW)
    rows["bucket"] = steps[starts] >> level
    ends = starts + lengths - 1
    rows["first_step"], rows["last_step"], rows["last_timestamp"] = steps[starts], steps[ends], timestamps[ends]
    rows["first_value"], rows["last_value"] = values[:, starts], values[:, ends]
    for name, extreme in (("min", np.fmin), ("max", np.fmax)):
        rows[f"{name}_step"], rows[f"{name}_value"] = _extremes(extreme, steps, values, starts)
    rows["total"] = _sums(values if finite.all() else np.where(finite, values, 0.0), starts, lengths, begun)
    rows["count"] = lengths
    rows["finite"] = lengths if finite.all() else np.add.reduceat(finite, starts, axis=1, dtype=np.int64)
    if not numbers.all():
        rows["nans"] = lengths - np.add.reduceat(numbers, starts, axis=1, dtype=np.int64)
    return rows


def _rows_of_single_points(level: int, points: Points, begun: Floats) -> Rows:
    """Return the rows of buckets with a point each, as where many runs log now and then."""
    steps, timestamps, values = points
    finite, numbers = np.isfinite(values), ~np.isnan(values)
    rows = np.zeros(values.shape, ROW)
    rows["bucket"] = steps >> level
    rows["first_step"], rows["last_step"], rows["last_timestamp"] = steps, steps, timestamps
    for name in ("first_value", "last_value", "min_value", "max_value"):
        rows[name] = values
    rows["min_step"] = rows["max_step"] = np.where(numbers, steps, 0)
    with np.errstate(over="ignore"):
        rows["total"] = begun + np.where(finite, values, 0.0)
    rows["count"], rows["finite"], rows["nans"] = 1, finite, ~numbers
    return rows


def _extremes(extreme: np.ufunc, steps: Int64s, values: Floats, starts: Int64s) -> tuple[Int64s, Floats]:
    """Return the first step with a bucket's extreme, and the value there; 0 and NaN if all values are NaN."""
    first, present = first_indexes(values, extreme.reduceat(values, starts, axis=1), starts)
    # The value at that step and not the extreme itself: 0 and -0 are equal, and the first one must be returned.
    at = np.take_along_axis(values, first, axis=1)
    return np.where(present, steps[first], 0), np.where(present, at, np.nan)


def _sums(values: Floats, starts: Int64s, lengths: Int64s, begun: Floats) -> Floats:
    """Return the sum of each bucket, adding values in order to the sums so far: float64[k, b]."""
    sums = begun.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        if len(starts) < lengths.max():
            for place, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
                in_turn = np.concatenate((sums[:, place : place + 1], values[:, start : start + length]), axis=1)
                sums[:, place] = np.add.accumulate(in_turn, axis=1)[:, -1]
        else:
            # The longest first, so that the total cost is proportional to the number of values.
            longest = np.argsort(-lengths, kind="stable")
            left = np.searchsorted(-lengths[longest], -np.arange(int(lengths.max())), "left")
            for turn, count in enumerate(left.tolist()):
                longer = longest[:count]
                sums[:, longer] += values[:, starts[longer] + turn]
    return sums


def merge_rows(rows: Rows, starts: Int64s) -> Rows:
    """Merge rows: each result row covers the rows from one start to the next.

    Args:
        rows: [n], those of a bucket in the order of steps.
        starts: ascending, the first 0. The caller sets the buckets.
    """
    made = rows[starts].copy()
    lengths = np.diff(np.append(starts, len(rows)))
    last = rows[starts + lengths - 1]
    for name in ("last_step", "last_value", "last_timestamp"):
        made[name] = last[name]
    for name in COUNTS:
        made[name] = np.add.reduceat(rows[name], starts)
    made["total"] = _sums(rows["total"][None], starts, lengths, np.zeros((1, len(starts))))[0]
    for name, extreme in (("min", np.fmin), ("max", np.fmax)):
        places, values = _extremes(extreme, np.arange(len(rows)), rows[f"{name}_value"][None], starts)
        there = ~np.isnan(values[0])
        for part in ("step", "value"):
            made[f"{name}_{part}"][there] = rows[f"{name}_{part}"][places[0][there]]
    return made
