"""A metric drawn over another one: rows joined on their step, then cut into buckets of the x axis. Pure.

A bucket of the x axis is `2**k` wide and lies on a multiple of its width, with the smallest k (which may be negative)
that needs at most the points asked for. So zooms nest here too, and a run that goes on moves no old bucket until the
width doubles. Multiplying by a power of two is exact, so no row falls on the wrong side of a border. Where x changes
its sign, there are two buckets at least: 0 is a border at any width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from stepwell_query.series.math.buckets import Buckets, Float64s, Int64s, from_points

# Of a float64: 2**-1074 is the least positive one, and 2**1023 the greatest power of two.
_LEAST_EXPONENT = -1074
_GREATEST_EXPONENT = 1023
# A shift that brings all steps into one bucket.
_WHOLE = 63


class XYPoints(NamedTuple):
    """Points over x, ascending: `x` float64[n], `buckets`, and their `width` on the x axis.

    A width of None: they are rows; of inf: all that is not below 0 is one bucket, and all that is.
    """

    x: Float64s
    buckets: Buckets
    width: float | None


def join_on_step(rows: Buckets, xs: Buckets, shift: int) -> tuple[Float64s, Buckets]:
    """Return those rows (or buckets of `2**shift` steps) of a series at which x has a finite value, with that.

    Both are of one series each, ascending by step.
    """
    place, own = xs.step >> shift, rows.step >> shift
    at = np.searchsorted(place, own)
    there = np.append(place, -1)[at] == own
    x = np.append(xs.last, np.nan)[at]
    kept = there & np.isfinite(x)
    return x[kept], rows.take(kept)


def sort_by_x(x: Float64s, buckets: Buckets) -> XYPoints:
    """Order points by x; those at one x by their step."""
    order = np.lexsort((buckets.step, x))
    return XYPoints(x[order], buckets.take(order), None)


def bucket_by_x(x: Float64s, rows: Buckets, points: int) -> XYPoints:
    """Bring rows to at most `points` buckets of x; a bucket's last row is that of the greatest x, and latest step."""
    x, rows, _ = sort_by_x(x, rows)
    if len(x) <= points:
        return XYPoints(x, rows, None)
    exponent = x_exponent(float(x[0]), float(x[-1]), points)
    places = np.floor(np.ldexp(x, -exponent))
    # What is so little below 0 that scaling makes it 0.
    places = np.where(x < 0, np.minimum(places, -1), places)
    bucket: Int64s = np.cumsum(np.concatenate(([0], (places[1:] != places[:-1]).astype(np.int64))))
    ends = np.append(np.flatnonzero(np.diff(bucket)), len(x) - 1)
    shifts = np.full(len(ends), _WHOLE)
    result = from_points(bucket, rows.step, rows.last, rows.time, shifts, extremes=False)
    return XYPoints(x[ends], result.owned(np.zeros_like(result.owner)), _width(exponent))


def x_exponent(low: float, high: float, points: int) -> int:
    """Return the smallest k with which `low`..`high` touch at most `points` buckets of `2**k`, on multiples of it."""
    difference = high - low
    # The difference of two float64 may overflow, and the halves of the least ones are 0.
    span = math.frexp(difference)[1] if math.isfinite(difference) else math.frexp(high / 2 - low / 2)[1] + 1
    exponent = max(span - points.bit_length() - 1, _LEAST_EXPONENT)
    while _places(low, high, exponent) > max(points, 2 if low < 0 <= high else 1):
        exponent += 1
    return exponent


def _width(exponent: int) -> float:
    return math.ldexp(1.0, exponent) if exponent <= _GREATEST_EXPONENT else math.inf


def _places(low: float, high: float, exponent: int) -> float:
    """Return how many buckets a range touches; inf where there are more than a float64 can count."""
    try:
        first, last = math.ldexp(low, -exponent), math.ldexp(high, -exponent)
    except OverflowError:
        return math.inf
    return min(math.floor(last), -1 if high < 0 else math.inf) - min(math.floor(first), -1 if low < 0 else math.inf) + 1
