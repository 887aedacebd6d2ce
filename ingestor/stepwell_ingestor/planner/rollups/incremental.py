"""The rows of rollups that follow from a flush's own points, where series go on behind their last step. Pure.

Level by level: what a series' open bucket has come to, and what closed on the level below, become rows of the buckets
that close, and what the bucket that stays open has come to. Where the open bucket is not known, or a bucket below it
closes without being told, it is to be computed from what is stored; the next one is known again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from stepwell_ingestor.planner.point_tables import Int64s
from stepwell_ingestor.planner.rollups.rows import (
    ROW,
    UNKNOWN,
    FlatPoints,
    Marks,
    Points,
    Rows,
    of_points,
    of_runs,
    together,
)

NEVER: Final = -1
"""Stands for the last step of a series that has none."""


class Told(NamedTuple):
    """Rows of a level: for each the place of its series."""

    level: int
    places: Int64s
    rows: Rows


class Unknown(NamedTuple):
    """Buckets of a level to compute from what is stored: one of each of some series."""

    level: int
    places: Int64s
    buckets: Int64s


class Telling(NamedTuple):
    """Rows of the buckets that close, which of them are to be computed, and [series, level] what stays open."""

    rows: list[Told]
    unknown: list[Unknown]
    open: Rows


class _Closing(NamedTuple):
    """What happens on a level: rows of buckets that close and whose they are, which series' row is to be computed."""

    places: Int64s
    rows: Rows
    untold: Marks
    open: Rows


def tell(points: Points | FlatPoints, prior: Int64s, known: Rows, levels: Sequence[int]) -> Telling:
    """Return what points that lie after each series' last step say.

    Args:
        points: of k series, all at steps above `prior`; flat ones name each series at least once.
        prior: int64[k], the last step of each series before, NEVER where it has none.
        known: [k, level], what each series' open buckets have come to, as `open_rows` returns it.
        levels: the levels, ascending.
    """
    found = Telling([], [], np.zeros(known.shape, ROW))
    if isinstance(points, Points):
        last = np.full(len(prior), points.steps[-1])
        closing = _of_points(levels[0], points, prior, known[:, 0])
    else:
        last = points.steps[np.diff(points.series, append=-1) != 0]
        closing = _of_flat_points(levels[0], points, prior, known[:, 0])
    for number, level in enumerate(levels):
        if number:
            closing = _of_rows(level, closing, prior, last, known[:, number])
        if len(closing.rows):
            found.rows.append(Told(level, closing.places, closing.rows))
        if closing.untold.any():
            untold = np.flatnonzero(closing.untold)
            found.unknown.append(Unknown(level, untold, prior[untold] >> level))
        found.open[:, number] = closing.open
    return found


def _of_points(level: int, points: Points, prior: Int64s, known: Rows) -> _Closing:
    first, last = int(points.steps[0]) >> level, int(points.steps[-1]) >> level
    new = prior == NEVER
    is_known = ~new & (known["bucket"] == prior >> level)
    goes_on = ~new & (prior >> level == first)
    begun = goes_on & is_known
    rows = of_points(level, points.steps, points.timestamps, points.values, np.where(begun, known["total"], 0.0))
    if begun.any():
        rows[begun, 0] = _joined(known[begun], rows[begun, 0])
    open_rows = rows[:, -1].copy()
    shut = np.ones((len(rows), rows.shape[1] - 1), np.bool_)
    if first < last:
        shut[goes_on & ~is_known, 0] = False
    else:
        open_rows[goes_on & ~is_known] = _nothing(UNKNOWN)
    places, at = np.nonzero(shut)
    ended = np.flatnonzero(is_known & ~goes_on)
    return _Closing(
        np.concatenate((ended, places)),
        np.concatenate((known[ended], rows[places, at])),
        ~new & ~is_known & (prior >> level < last),
        open_rows,
    )


def _of_flat_points(level: int, points: FlatPoints, prior: Int64s, known: Rows) -> _Closing:
    buckets = points.steps >> level
    starts = np.flatnonzero((np.diff(points.series, prepend=-1) != 0) | (np.diff(buckets, prepend=-1) != 0))
    of_rows = points.series[starts]
    firsts, lasts = np.diff(of_rows, prepend=-1) != 0, np.diff(of_rows, append=-1) != 0
    new = prior == NEVER
    is_known = ~new & (known["bucket"] == prior >> level)
    goes_on = ~new & (prior >> level == buckets[starts[firsts]])
    begun = goes_on & is_known
    sums = np.zeros(len(starts))
    sums[firsts] = np.where(begun, known["total"], 0.0)
    in_order = Points(points.steps, points.timestamps, points.values[None])
    rows = of_runs(level, in_order, starts, sums[None])[0]
    if begun.any():
        at = np.flatnonzero(firsts)[begun]
        rows[at] = _joined(known[begun], rows[at])
    # A bucket that had begun before and is not known: of its rows only some are here.
    partial = firsts.copy()
    partial[firsts] = goes_on & ~is_known
    open_rows = rows[lasts].copy()
    open_rows[partial[lasts]] = _nothing(UNKNOWN)
    shut = np.flatnonzero(~lasts & ~partial)
    ended = np.flatnonzero(is_known & ~goes_on)
    return _Closing(
        np.concatenate((ended, of_rows[shut])),
        np.concatenate((known[ended], rows[shut])),
        ~new & ~is_known & (prior >> level < buckets[starts[lasts]]),
        open_rows,
    )


def _joined(known: Rows, rows: Rows) -> Rows:
    """Return the rows of buckets that had begun, with what the points add; their sums have both already."""
    pairs = np.stack([known, rows], axis=1).ravel()
    joined = together(pairs, np.arange(0, len(pairs), 2))
    joined["total"] = rows["total"]
    return joined


def _of_rows(level: int, below: _Closing, prior: Int64s, last: Int64s, known: Rows) -> _Closing:
    new, end = prior == NEVER, last >> level
    is_known = new | ((known["bucket"] == prior >> level) & ~below.untold)
    ended = prior >> level < end
    held = np.flatnonzero(is_known & (known["bucket"] == prior >> level) & (known["count"] > 0))
    # Of a bucket that is not known, what closed in it just now is not all.
    whole = is_known[below.places] | (below.rows["first_step"] >> level != prior[below.places] >> level)
    places = np.concatenate((held, below.places[whole]))
    rows = np.concatenate((known[held], below.rows[whole]))
    open_rows = np.zeros(len(prior), ROW)
    open_rows["bucket"] = end
    open_rows[~is_known & ~ended] = _nothing(UNKNOWN)
    if not len(rows):
        return _Closing(places, rows, ~is_known & ended, open_rows)
    order = np.lexsort((rows["first_step"], places))
    places, rows = places[order], rows[order]
    rows["bucket"] = rows["first_step"] >> level
    starts = np.flatnonzero(np.append(True, (np.diff(places) != 0) | (np.diff(rows["bucket"]) != 0)))
    places, rows = places[starts], together(rows, starts)
    is_open = rows["bucket"] == end[places]
    open_rows[places[is_open]] = rows[is_open]
    return _Closing(places[~is_open], rows[~is_open], ~is_known & ended, open_rows)


def _nothing(bucket: int) -> Rows:
    row = np.zeros((), ROW)
    row["bucket"] = bucket
    return row
