"""Rows of rollups as numpy arrays: made of points, put together, and kept of the buckets that are still open. Pure.

The same to the bit as `stepwell_schemas.rollups.sql` computes. So sums are taken one value after the other, in the
order of steps: neither numpy's own sum nor the engine's does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.layers import Known
from stepwell_ingestor.planner.point_tables import Int64s

_INTEGERS: Final = ("bucket", "first_step", "last_step", "last_timestamp", "min_step", "max_step")
_FLOATS: Final = ("first_value", "last_value", "min_value", "max_value", "total")
_COUNTS: Final = ("finite", "nans", "count")
ROW: Final = np.dtype([(name, "<f8" if name in _FLOATS else "<i8") for name in (*_INTEGERS, *_FLOATS, *_COUNTS)])
"""A row of rollups, without its series, level and version; the timestamp in milliseconds since the epoch."""

UNKNOWN: Final = -1
"""The bucket of a row that stands for nothing known."""

Rows = NDArray[np.void]
Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]


class Points(NamedTuple):
    """Points of k series that have the same n steps: int64[n], strictly ascending; ms int64[n]; float64[k, n]."""

    steps: Int64s
    timestamps: Int64s
    values: Floats

    def of(self, chosen: Marks) -> Points:
        """Return the points of some of the series."""
        return self if chosen.all() else self._replace(values=self.values[chosen])


class FlatPoints(NamedTuple):
    """Points of any series, one after the other: the series' numbers ascending, each one's steps strictly ascending."""

    series: Int64s
    steps: Int64s
    timestamps: Int64s
    values: Floats

    def of(self, chosen: Marks) -> FlatPoints:
        """Return the points of some of the series, numbered again from 0."""
        kept = self.at(chosen[self.series])
        return kept._replace(series=(np.cumsum(chosen) - 1)[kept.series])

    def at(self, places: Marks | Int64s) -> FlatPoints:
        """Return the points at some places."""
        return FlatPoints(self.series[places], self.steps[places], self.timestamps[places], self.values[places])


def of_points(level: int, steps: Int64s, timestamps: Int64s, values: Floats, begun: Floats) -> Rows:
    """Return the rows of the buckets that points lie in, whole or in part: [k, b] for k series and b buckets.

    Args:
        level: the level, binary logarithm of its buckets' width.
        steps: int64[n], strictly ascending, at least one.
        timestamps: int64[n], milliseconds.
        values: float64[k, n].
        begun: float64[k], the sum that each series' first bucket has come to before these points.
    """
    buckets = steps >> level
    starts = np.concatenate(([0], np.flatnonzero(np.diff(buckets)) + 1))
    sums = np.zeros((len(values), len(starts)))
    sums[:, 0] = begun
    return of_runs(level, Points(steps, timestamps, values), starts, sums)


def of_runs(level: int, points: Points, starts: Int64s, begun: Floats) -> Rows:
    """Return the rows of points from each start to the next, which lie in one bucket: [k, b].

    Args:
        level: the level, binary logarithm of its buckets' width.
        points: steps int64[n] and timestamps int64[n] (ms), those of a bucket ascending, and values float64[k, n].
        starts: int64[b], ascending, the first 0.
        begun: float64[k, b], the sums that the buckets have come to before these points.
    """
    steps, timestamps, values = points
    lengths = np.diff(np.append(starts, len(steps)))
    finite, numbers = np.isfinite(values), ~np.isnan(values)
    rows = np.zeros((len(values), len(starts)), ROW)
    rows["bucket"] = steps[starts] >> level
    ends = starts + lengths - 1
    rows["first_step"], rows["last_step"], rows["last_timestamp"] = steps[starts], steps[ends], timestamps[ends]
    rows["first_value"], rows["last_value"] = values[:, starts], values[:, ends]
    for name, extreme in (("min", np.fmin), ("max", np.fmax)):
        rows[f"{name}_step"], rows[f"{name}_value"] = _extremes(extreme, steps, values, starts, lengths)
    rows["total"] = _sums(values if finite.all() else np.where(finite, values, 0.0), starts, lengths, begun)
    rows["count"] = lengths
    rows["finite"] = lengths if finite.all() else np.add.reduceat(finite, starts, axis=1, dtype=np.int64)
    if not numbers.all():
        rows["nans"] = lengths - np.add.reduceat(numbers, starts, axis=1, dtype=np.int64)
    return rows


def _extremes(
    extreme: np.ufunc, steps: Int64s, values: Floats, starts: Int64s, lengths: Int64s
) -> tuple[Int64s, Floats]:
    """Return the first step that has a bucket's extreme, and the value there; 0 and NaN where all are NaN."""
    found = extreme.reduceat(values, starts, axis=1)
    beyond = len(steps)
    places = np.where(values == np.repeat(found, lengths, axis=1), np.arange(beyond, dtype=np.int32), np.int32(beyond))
    first = np.minimum.reduceat(places, starts, axis=1)
    there = first < beyond
    first[~there] = 0
    # The value there and not the extreme itself: of 0 and -0, which are equal, the one that came first.
    at = np.take_along_axis(values, first, axis=1)
    return np.where(there, steps[first], 0), np.where(there, at, np.nan)


def _sums(values: Floats, starts: Int64s, lengths: Int64s, begun: Floats) -> Floats:
    """Return the sum of each bucket, adding one value after the other to what has begun: float64[k, b]."""
    sums = begun.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        if len(starts) < lengths.max():
            for place, (start, length) in enumerate(zip(starts.tolist(), lengths.tolist(), strict=True)):
                in_turn = np.concatenate((sums[:, place : place + 1], values[:, start : start + length]), axis=1)
                sums[:, place] = np.add.accumulate(in_turn, axis=1)[:, -1]
        else:
            # The longest first, so that all turns together cost as much as there are values.
            longest = np.argsort(-lengths, kind="stable")
            left = np.searchsorted(-lengths[longest], -np.arange(int(lengths.max())), "left")
            for turn, count in enumerate(left.tolist()):
                longer = longest[:count]
                sums[:, longer] += values[:, starts[longer] + turn]
    return sums


def together(rows: Rows, starts: Int64s) -> Rows:
    """Return the rows that stand for several rows each: those from each start to the next.

    Args:
        rows: [n], those of a bucket in the order of their steps.
        starts: ascending, the first 0. What the buckets are is left to the caller.
    """
    made = rows[starts].copy()
    lengths = np.diff(np.append(starts, len(rows)))
    last = rows[starts + lengths - 1]
    for name in ("last_step", "last_value", "last_timestamp"):
        made[name] = last[name]
    for name in _COUNTS:
        made[name] = np.add.reduceat(rows[name], starts)
    made["total"] = _sums(rows["total"][None], starts, lengths, np.zeros((1, len(starts))))[0]
    for name, extreme in (("min", np.fmin), ("max", np.fmax)):
        places, values = _extremes(extreme, np.arange(len(rows)), rows[f"{name}_value"][None], starts, lengths)
        there = ~np.isnan(values[0])
        for part in ("step", "value"):
            made[f"{name}_{part}"][there] = rows[f"{name}_{part}"][places[0][there]]
    return made


def open_rows(runs: Iterable[tuple[Known[str, bytes], Sequence[str]]], levels: int) -> Rows:
    """Return the rows that the open buckets of some series of runs have come to: [key, level].

    A row is known if its bucket is that of the series' last step; what is not known is to be computed from what is
    stored. A known row may count no point yet.
    """
    unknown = np.zeros(levels, ROW)
    unknown["bucket"] = UNKNOWN
    nothing = unknown.tobytes()
    # Bytes for each series, and not one array of all: a new key would copy it. And joined as bytes: numpy takes 100 µs
    # to join two arrays of rows.
    found = [known.get(key, nothing) for known, keys in runs for key in keys]
    return np.frombuffer(bytearray().join(found), ROW).reshape(len(found), levels)


def keep_rows(known: Known[str, bytes], keys: Sequence[str], rows: Rows) -> None:
    """Note the rows that the open buckets of some series have come to: [key, level]."""
    packed, width = rows.tobytes(), rows.shape[1] * ROW.itemsize
    for place, key in enumerate(keys):
        known[key] = packed[place * width : (place + 1) * width]
