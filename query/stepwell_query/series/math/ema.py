"""Exponential moving averages over whole series, without bias to 0 at their begin, as in TensorBoard and wandb. Pure.

With weight w, the average after the values v_1 … v_n is sum(w^(n-i) v_i) / sum(w^(n-i)). A value that is not finite
does not count. A bucket of c values with mean m counts as c values m.
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
        buckets: all of the series from their first steps on. weight: w, above 0 and below 1; float64[owners]: of each.
    """
    if not len(buckets):
        return np.empty(0, np.float64)
    counts = buckets.finite_count
    decay = np.broadcast_to(np.log(weight), owners)[buckets.owner] * counts
    factors = np.exp(decay)
    starts = buckets.bounds(owners)[:-1]
    # Where a series begins, nothing of the one before it may be left.
    factors[starts[starts < len(buckets)]] = 0.0
    terms = -np.expm1(decay) * np.where(counts > 0, means(buckets), 0.0)
    seen = np.cumsum(counts)
    before = np.concatenate(([0], seen))[starts]
    shares = -np.expm1(np.broadcast_to(np.log(weight), owners)[buckets.owner] * (seen - before[buckets.owner]))
    with np.errstate(invalid="ignore", over="ignore"):
        sums = _recurrence(factors, terms, buckets.bounds(owners))
        return np.where(shares > 0, sums / np.where(shares > 0, shares, 1.0), np.nan)


def _recurrence(factors: Float64s, terms: Float64s, bounds: Int64s) -> Float64s:
    """Return s of s[i] = factors[i] * s[i - 1] + terms[i], from s[-1] = 0 on; factors are 0 where a series begins.

    The values are laid out in columns of one length, all of which go down their rows at once, as if each began at 0;
    then what the columns before have left is added. Each series begins a column of its own: so its bits depend neither
    on other series nor on what comes later.
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
    """Return the weight of a row that gives one of `parts` even parts of a series the weight `weight`.

    A row is a part itself where there are no more of them.
    """
    return float(weight ** min(1.0, parts / rows)) if rows > 0 else weight


def averages_at_steps(buckets: Buckets, averages: Float64s, steps: Sequence[Int64s]) -> list[Float64s]:
    """Return the averages of each series as of some steps: after the last bucket that ends at a step or before it."""
    result = []
    for own, values, asked_steps in zip(
        buckets.split(len(steps)), np.split(averages, buckets.bounds(len(steps))[1:-1]), steps, strict=True
    ):
        at = np.searchsorted(own.step, asked_steps, "right") - 1
        result.append(np.append(values, np.nan)[at])
    return result


def finest_level(steps: int, rows: int, limit: int) -> int:
    """Return the finest level, 0 for rows, of which a range has at most `limit`; the widest where none has so few."""
    if min(rows, steps) <= limit:
        return 0
    return next((level for level in LEVELS if steps >> level <= limit), LEVELS[-1])
