"""Build rollup rows incrementally from a flush's own points, for series that only append.

On each level, a series' open bucket is merged with the new points, or with the rows that closed on the level below. The
result is a row for each bucket that closes, and the partial row of the bucket that stays open. If the open bucket is
unknown, or a bucket below it closes without a row, it must be computed from stored points; the next one is known again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from stepwell_ingestor.planner.columns import Int64s
from stepwell_ingestor.planner.rollups.rows import (
    COUNTS,
    ROW,
    UNKNOWN,
    FlatPoints,
    Marks,
    Points,
    Rows,
    merge_rows,
    rows_from_points,
    rows_from_segments,
)

NEVER: Final = -1
"""The last step of a series without points."""


class LevelRows(NamedTuple):
    """Rows of a level, each with the index of its series."""

    level: int
    places: Int64s
    rows: Rows


class MissingBuckets(NamedTuple):
    """Buckets of a level that must be computed from stored points: one for each of some series."""

    level: int
    places: Int64s
    buckets: Int64s


class IncrementalRollups(NamedTuple):
    """Rows of the buckets that close, buckets that must be computed, and the open buckets as [series, level]."""

    rows: list[LevelRows]
    unknown: list[MissingBuckets]
    open: Rows


class _Closing(NamedTuple):
    """The result for a level.

    `rows` of the buckets that close, and `places`, the indices of their series. `missing` marks series with a bucket
    that closes and must be computed. `open`: the open bucket of each series.
    """

    places: Int64s
    rows: Rows
    missing: Marks
    open: Rows


def append_points(points: Points | FlatPoints, prior: Int64s, known: Rows, levels: Sequence[int]) -> IncrementalRollups:
    """Apply points that lie after each series' last step.

    Args:
        points: points of k series, all at steps above `prior`; flat points have at least one point for each series.
        prior: int64[k], the last step of each series before the flush, NEVER for a new series.
        known: [k, level], the open buckets of each series; those whose `bucket` is not that of `prior` are unknown.
        levels: the levels, ascending.
    """
    result = IncrementalRollups([], [], np.zeros(known.shape, ROW))
    if isinstance(points, Points):
        last = np.full(len(prior), points.steps[-1])
        closing = _close_from_points(levels[0], points, prior, known[:, 0])
    else:
        last = points.steps[np.diff(points.series, append=-1) != 0]
        closing = _close_from_flat_points(levels[0], points, prior, known[:, 0])
    for number, level in enumerate(levels):
        if number:
            closing = _close_from_level_below(level, closing, prior, last, known[:, number])
        if len(closing.rows):
            result.rows.append(LevelRows(level, closing.places, closing.rows))
        if closing.missing.any():
            missing = np.flatnonzero(closing.missing)
            result.unknown.append(MissingBuckets(level, missing, prior[missing] >> level))
        result.open[:, number] = closing.open
    return result


def extend_open(level: int, points: FlatPoints, known: Rows, *, begun: Marks) -> Rows:
    """Return the rows of open buckets that stay open, with points that lie in them.

    Args:
        level: the level.
        points: points of k series, all of a series in one bucket.
        known: [k], the rows before them.
        begun: [k], True for buckets that had points before.
    """
    starts = np.flatnonzero(np.diff(points.series, prepend=-1))
    in_order = Points(points.steps, points.timestamps, points.values[None])
    rows: Rows = rows_from_segments(level, in_order, starts, np.where(begun, known["total"], 0.0)[None])[0]
    if begun.all():
        return _merge_begun(known, rows)
    if begun.any():
        rows[begun] = _merge_begun(known[begun], rows[begun])
    return rows


def _close_from_points(level: int, points: Points, prior: Int64s, known: Rows) -> _Closing:
    first, last = int(points.steps[0]) >> level, int(points.steps[-1]) >> level
    new = prior == NEVER
    is_known = ~new & (known["bucket"] == prior >> level)
    continues = ~new & (prior >> level == first)
    begun = continues & is_known
    rows = rows_from_points(level, points.steps, points.timestamps, points.values, np.where(begun, known["total"], 0.0))
    if begun.any():
        rows[begun, 0] = _merge_begun(known[begun], rows[begun, 0])
    open_rows = rows[:, -1].copy()
    shut = np.ones((len(rows), rows.shape[1] - 1), np.bool_)
    if first < last:
        shut[continues & ~is_known, 0] = False
    else:
        open_rows[continues & ~is_known] = _empty_row(UNKNOWN)
    places, at = np.nonzero(shut)
    ended = np.flatnonzero(is_known & ~continues)
    return _Closing(
        np.concatenate((ended, places)),
        np.concatenate((known[ended], rows[places, at])),
        ~new & ~is_known & (prior >> level < last),
        open_rows,
    )


def _close_from_flat_points(level: int, points: FlatPoints, prior: Int64s, known: Rows) -> _Closing:
    buckets = points.steps >> level
    starts = np.flatnonzero((np.diff(points.series, prepend=-1) != 0) | (np.diff(buckets, prepend=-1) != 0))
    of_rows = points.series[starts]
    firsts, lasts = np.diff(of_rows, prepend=-1) != 0, np.diff(of_rows, append=-1) != 0
    new = prior == NEVER
    is_known = ~new & (known["bucket"] == prior >> level)
    continues = ~new & (prior >> level == buckets[starts[firsts]])
    begun = continues & is_known
    sums = np.zeros(len(starts))
    sums[firsts] = np.where(begun, known["total"], 0.0)
    in_order = Points(points.steps, points.timestamps, points.values[None])
    rows = rows_from_segments(level, in_order, starts, sums[None])[0]
    if begun.any():
        at = np.flatnonzero(firsts)[begun]
        rows[at] = _merge_begun(known[begun], rows[at])
    # A bucket that began before and is unknown: only a part of its points is in this flush.
    partial = firsts.copy()
    partial[firsts] = continues & ~is_known
    open_rows = rows[lasts].copy()
    open_rows[partial[lasts]] = _empty_row(UNKNOWN)
    shut = np.flatnonzero(~lasts & ~partial)
    ended = np.flatnonzero(is_known & ~continues)
    return _Closing(
        np.concatenate((ended, of_rows[shut])),
        np.concatenate((known[ended], rows[shut])),
        ~new & ~is_known & (prior >> level < buckets[starts[lasts]]),
        open_rows,
    )


def _merge_begun(known: Rows, rows: Rows) -> Rows:
    """Merge open buckets with the rows of new points, whose `total` includes both already; `rows` is changed.

    By columns: copying rows of many fields takes numpy several times as long.
    """
    for name in ("first_step", "first_value"):
        rows[name] = known[name]
    for name in COUNTS:
        rows[name] += known[name]
    for name, is_kept in (("min", np.less_equal), ("max", np.greater_equal)):
        value, step = f"{name}_value", f"{name}_step"
        # The first of equal ones; NaN if all values are.
        kept = is_kept(known[value], rows[value]) | np.isnan(rows[value])
        for field in (value, step):
            np.copyto(rows[field], known[field], where=kept)
    return rows


def _close_from_level_below(level: int, below: _Closing, prior: Int64s, last: Int64s, known: Rows) -> _Closing:
    new, end = prior == NEVER, last >> level
    is_known = new | ((known["bucket"] == prior >> level) & ~below.missing)
    ended = prior >> level < end
    held = np.flatnonzero(is_known & (known["bucket"] == prior >> level) & (known["count"] > 0))
    # For an unknown bucket, the rows that closed in this flush are incomplete.
    complete = is_known[below.places] | (below.rows["first_step"] >> level != prior[below.places] >> level)
    places = np.concatenate((held, below.places[complete]))
    rows = np.concatenate((known[held], below.rows[complete]))
    open_rows = np.zeros(len(prior), ROW)
    open_rows["bucket"] = end
    open_rows[~is_known & ~ended] = _empty_row(UNKNOWN)
    if not len(rows):
        return _Closing(places, rows, ~is_known & ended, open_rows)
    order = np.lexsort((rows["first_step"], places))
    places, rows = places[order], rows[order]
    rows["bucket"] = rows["first_step"] >> level
    starts = np.flatnonzero(np.append(True, (np.diff(places) != 0) | (np.diff(rows["bucket"]) != 0)))
    places, rows = places[starts], merge_rows(rows, starts)
    is_open = rows["bucket"] == end[places]
    open_rows[places[is_open]] = rows[is_open]
    return _Closing(places[~is_open], rows[~is_open], ~is_known & ended, open_rows)


def _empty_row(bucket: int) -> Rows:
    row = np.zeros((), ROW)
    row["bucket"] = bucket
    return row
