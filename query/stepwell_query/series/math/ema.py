"""Exponential moving averages over whole series, without bias towards 0 at their start, as in TensorBoard and wandb.

With weight w, the average after the values v_1 … v_n is sum(w^(n-i) v_i) / sum(w^(n-i)). Values that are not finite
are skipped. A bucket of c finite values with mean m counts as c values m.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from stepwell_query.series.math.buckets import Buckets, Float64s, Int64s, means
from stepwell_schemas.rollups.sql import LEVELS

_COLUMN_ROWS: Final = 256


def moving_averages(buckets: Buckets, owners: int, weight: float | Float64s) -> Float64s:
    """Return the average of each series after each of its buckets; NaN before its first finite value.

    Args:
        buckets: all buckets of the series from their first steps.
        owners: number of series.
        weight: w, 0 < w < 1, or float64[owners] with a weight for each series.
    """
    if not len(buckets):
        return np.empty(0, np.float64)
    counts = buckets.finite_count
    decay = np.broadcast_to(np.log(weight), owners)[buckets.owner] * counts
    factors = np.exp(decay)
    starts = buckets.bounds(owners)[:-1]
    # A series must not inherit the sum of the series before it.
    factors[starts[starts < len(buckets)]] = 0.0
    terms = -np.expm1(decay) * np.where(counts > 0, means(buckets), 0.0)
    seen = np.cumsum(counts)
    before = np.concatenate(([0], seen))[starts]
    shares = -np.expm1(np.broadcast_to(np.log(weight), owners)[buckets.owner] * (seen - before[buckets.owner]))
    with np.errstate(invalid="ignore", over="ignore"):
        sums = _recurrence(factors, terms, buckets.bounds(owners))
        return np.where(shares > 0, sums / np.where(shares > 0, shares, 1.0), np.nan)


def _recurrence(factors: Float64s, terms: Float64s, bounds: Int64s) -> Float64s:
    """Solve s[i] = factors[i] * s[i - 1] + terms[i] with s[-1] = 0; factors are 0 at the start of a series.

    The values are split into columns of equal length. All columns are computed concurrently, row by row, as if each
    started at 0; then the remainder carried over from the columns before is added. Each series starts a new column, so
    that its result depends, to the bit, neither on other series nor on later values.
    """
    sizes = np.diff(bounds)
    columns = -(-sizes // _COLUMN_ROWS)
    shifted = (np.cumsum(columns) - columns) * _COLUMN_ROWS - bounds[:-1]
    places = np.arange(len(terms)) + np.repeat(shifted, sizes)
    factor = np.ones((int(columns.sum()), _COLUMN_ROWS))
    value = np.zeros_like(factor)
    factor.ravel()[places], value.ravel()[places] = factors, terms
    factor, value = np.ascontiguousarray(factor.T), np.ascontiguousarray(value.T)
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        for row in range(1, _COLUMN_ROWS):
            value[row] += factor[row] * value[row - 1]
            factor[row] *= factor[row - 1]
        left = np.zeros(value.shape[1])
        rest = 0.0
        for column, (end, shrinking) in enumerate(zip(value[-1].tolist(), factor[-1].tolist(), strict=True)):
            left[column] = rest
            rest = end + shrinking * rest
        value += factor * left
    result: Float64s = np.ascontiguousarray(value.T).ravel()[places]
    return result


def row_weight(weight: float, parts: int, rows: int) -> float:
    """Return the weight of one row such that one of `parts` equal parts of a series has the weight `weight`.

    If a series has at most `parts` rows, each row is a part.
    """
    return float(weight ** min(1.0, parts / rows)) if rows > 0 else weight


def averages_at_steps(buckets: Buckets, averages: Float64s, steps: Sequence[Int64s]) -> list[Float64s]:
    """Return the averages of each series at some steps: after the last bucket that ends at or before the step."""
    result = []
    for own, values, asked_steps in zip(
        buckets.split(len(steps)), np.split(averages, buckets.bounds(len(steps))[1:-1]), steps, strict=True
    ):
        at = np.searchsorted(own.step, asked_steps, "right") - 1
        result.append(np.append(values, np.nan)[at])
    return result


def finest_level(steps: int, rows: int, limit: int) -> int:
    """Return the finest level (0: rows) with at most `limit` buckets in a range, or the widest if none has so few."""
    if min(rows, steps) <= limit:
        return 0
    return next((level for level in LEVELS if steps >> level <= limit), LEVELS[-1])
