"""A metric over another metric: rows joined on their step, then aggregated into buckets of the x axis.

A bucket of the x axis is `2**k` wide and starts at a multiple of its width, with the smallest k (possibly negative)
that needs at most the requested points. Zooms therefore nest, and new steps of a run move no old bucket until the width
doubles. Multiplication by a power of two is exact, so that no row falls on the wrong side of a border. If x has both
signs there are at least two buckets: 0 is a border at any width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from stepwell_query.series.math.buckets import Buckets, Float64s, Int64s, from_points

# float64: 2**-1074 is the least positive value, 2**1023 the greatest power of two.
_LEAST_EXPONENT = -1074
_GREATEST_EXPONENT = 1023
# A shift with which all steps are in one bucket.
_WHOLE = 63


class XYPoints(NamedTuple):
    """Points over x, ascending: `x` float64[n], `buckets`, and their `width` on the x axis.

    Without a width, they are rows. With a width of inf, there is one bucket for x < 0 and one for x >= 0.
    """

    x: Float64s
    buckets: Buckets
    width: float | None


def join_on_step(rows: Buckets, xs: Buckets, shift: int) -> tuple[Float64s, Buckets]:
    """Return the values of x and the rows (or buckets of `2**shift` steps) at the steps where x is finite.

    Each argument has the buckets of one series, ascending by step.
    """
    place, own = xs.step >> shift, rows.step >> shift
    at = np.searchsorted(place, own)
    there = np.append(place, -1)[at] == own
    x = np.append(xs.last, np.nan)[at]
    kept = there & np.isfinite(x)
    return x[kept], rows.take(kept)


def sort_by_x(x: Float64s, buckets: Buckets) -> XYPoints:
    """Sort points by x, then by step."""
    order = np.lexsort((buckets.step, x))
    return XYPoints(x[order], buckets.take(order), None)


def bucket_by_x(x: Float64s, rows: Buckets, points: int) -> XYPoints:
    """Aggregate rows into at most `points` buckets of x; a bucket's last row has the greatest x and latest step."""
    x, rows, _ = sort_by_x(x, rows)
    if len(x) <= points:
        return XYPoints(x, rows, None)
    exponent = x_exponent(float(x[0]), float(x[-1]), points)
    places = np.floor(np.ldexp(x, -exponent))
    # Values so close below 0 that scaling rounds them to 0.
    places = np.where(x < 0, np.minimum(places, -1), places)
    bucket: Int64s = np.cumsum(np.concatenate(([0], (places[1:] != places[:-1]).astype(np.int64))))
    ends = np.append(np.flatnonzero(np.diff(bucket)), len(x) - 1)
    shifts = np.full(len(ends), _WHOLE)
    result = from_points(bucket, rows.step, rows.last, rows.time, shifts, extremes=False)
    return XYPoints(x[ends], result.owned(np.zeros_like(result.owner)), _width(exponent))


def x_exponent(low: float, high: float, points: int) -> int:
    """Return the smallest k for which `low`..`high` touch at most `points` buckets of width `2**k`."""
    difference = high - low
    # The difference of two float64 may overflow, and half of the least positive value is 0.
    span = math.frexp(difference)[1] if math.isfinite(difference) else math.frexp(high / 2 - low / 2)[1] + 1
    exponent = max(span - points.bit_length() - 1, _LEAST_EXPONENT)
    while _places(low, high, exponent) > max(points, 2 if low < 0 <= high else 1):
        exponent += 1
    return exponent


def _width(exponent: int) -> float:
    return math.ldexp(1.0, exponent) if exponent <= _GREATEST_EXPONENT else math.inf


def _places(low: float, high: float, exponent: int) -> float:
    """Return the number of buckets that a range touches; inf if it exceeds float64."""
    try:
        first, last = math.ldexp(low, -exponent), math.ldexp(high, -exponent)
    except OverflowError:
        return math.inf
    return min(math.floor(last), -1 if high < 0 else math.inf) - min(math.floor(first), -1 if low < 0 else math.inf) + 1
