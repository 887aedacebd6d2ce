"""Largest triangle three buckets over the extremes of equal buckets (MinMaxLTTB): rows that keep a curve's shape.

The candidates are the least and the greatest value of each bucket of steps, so that the work does not grow with the
series. LTTB keeps the candidates that span the largest triangles. See Sveinn Steinarsson, "Downsampling Time
Series for Visual Representation" (2013), and Van Der Donckt et al., "MinMaxLTTB" (2023).

NaN spans no triangle and is never a candidate. ±Inf takes precedence over finite values.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stepwell_query.series.math.buckets import Buckets, Float64s, Int64s, concatenate, from_points

BUCKETS_A_POINT: Final = 2
"""Buckets of steps per requested point: four candidates per point, as the paper recommends."""

# Series processed together; the limit bounds memory.
_SERIES: Final = 256


def candidates(buckets: Buckets, owners: int) -> Buckets:
    """Return the extremes of all buckets and each series' last row as rows; requires `min_step` and `max_step`."""
    if not len(buckets):
        return buckets
    assert buckets.min_step is not None and buckets.max_step is not None  # noqa: S101, PT018 - callers request both
    ends = buckets.bounds(owners)[1:] - 1
    last = np.unique(ends[ends >= 0])
    owner = np.concatenate([buckets.owner, buckets.owner, buckets.owner[last]])
    step = np.concatenate([buckets.min_step, buckets.max_step, buckets.step[last]])
    value = np.concatenate([buckets.min, buckets.max, buckets.last[last]])
    there = np.flatnonzero(~np.isnan(value))
    order = there[np.lexsort((step[there], owner[there]))]
    repeated = (np.diff(owner[order]) == 0) & (np.diff(step[order]) == 0)
    kept = order[np.append(~repeated, True)] if len(order) else order
    return from_points(owner[kept], step[kept], value[kept], None, np.zeros(owners, np.int64), extremes=False)


def largest_triangles(rows: Buckets, owners: int, points: int) -> Buckets:
    """Return at most `points` rows of each series: the first, the last, and those that LTTB selects; without NaN."""
    bounds = rows.bounds(owners)
    counts = np.diff(bounds)
    parts = [rows.take(np.repeat(counts <= points, counts))]
    long = np.flatnonzero(counts > points)
    for chosen in np.array_split(long, -(-len(long) // _SERIES)) if len(long) else []:
        places = _chosen(rows, bounds[chosen], counts[chosen], points)
        parts.append(rows.take(np.sort(places.ravel())))
    return concatenate(parts)


def _chosen(rows: Buckets, starts: Int64s, counts: Int64s, points: int) -> Int64s:
    """Return int64[series, points]: the indexes of the rows that are kept of each series."""
    if points <= 2:
        return np.stack([starts + counts - 1, starts][:points], axis=1)
    x, y = _scaled(rows, starts, counts)
    # The borders of the points - 2 buckets between the first row and the last row; the last row is a separate bucket.
    every = (counts - 2) / (points - 2)
    borders = starts[:, None] + np.floor(np.arange(points - 1) * every[:, None]).astype(np.int64) + 1
    ends = np.concatenate([borders[:, 1:], (starts + counts)[:, None]], axis=1)
    mean_x, mean_y = _means(x, borders, ends), _means(y, borders, ends)
    # A narrower bucket repeats its last row, which does not change the maximum.
    widths = np.arange(int((ends - borders).max()))
    at = np.minimum(borders[:, :-1, None] + widths, ends[:, :-1, None] - 1)
    xs, ys = x[at], y[at]
    infinite = bool(np.isinf(y).any())
    places = np.empty((len(starts), points), np.int64)
    places[:, 0], places[:, -1] = starts, starts + counts - 1
    series = np.arange(len(starts))
    with np.errstate(invalid="ignore"):
        for number in range(points - 2):
            before_x, before_y = x[places[:, number], None], y[places[:, number], None]
            next_x, next_y = mean_x[:, number + 1, None], mean_y[:, number + 1, None]
            area = (before_x - next_x) * (ys[:, number] - before_y) - (before_x - xs[:, number]) * (next_y - before_y)
            area = np.abs(area)
            if infinite:
                area = np.where(np.isnan(area), np.inf, area)
            places[:, number + 1] = at[series, number, area.argmax(axis=1)]
    return places


def _scaled(rows: Buckets, starts: Int64s, counts: Int64s) -> tuple[Float64s, Float64s]:
    """Return x and y of all rows, of the selected series scaled to 0..1 and -1..1, so that areas can't overflow."""
    x, y = np.zeros(len(rows)), np.zeros(len(rows))
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        own = slice(start, start + count)
        steps, values = rows.step[own], rows.last[own]
        x[own] = (steps - steps[0]) / max(int(steps[-1] - steps[0]), 1)
        largest = np.max(np.abs(values), where=np.isfinite(values), initial=0.0)
        y[own] = values / (largest or 1.0)
    return x, y


def _means(values: Float64s, starts: Int64s, ends: Int64s) -> Float64s:
    """Return the means of the values in [starts, ends), in the same shape."""
    # Sums between consecutive borders; every second one is the sum of a bucket.
    borders = np.stack([starts.ravel(), ends.ravel()], axis=1).ravel()
    with np.errstate(invalid="ignore"):
        sums = np.add.reduceat(np.append(values, 0.0), borders)[::2].reshape(starts.shape)
        means: Float64s = sums / (ends - starts)
    return means
