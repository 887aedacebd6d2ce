"""Arithmetic of buckets over arrays of points, shared by the ingestor, which stores them, and the query service.

A bucket of shift k covers `2**k` steps and has the number `step >> k`. Points of one bucket are neighbours, a *run*,
because points are sorted by step. `schemas.rollups.sql` has the same arithmetic in SQL.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]


def run_starts(*columns: NDArray[Any]) -> Int64s:
    """Return the index of the first row of each run of rows that are equal in all columns; columns have n > 0 rows."""
    changes = columns[0][1:] != columns[0][:-1]
    for column in columns[1:]:
        changes |= column[1:] != column[:-1]
    return np.flatnonzero(np.concatenate(([True], changes)))


def first_indexes(values: NDArray[np.float64], extremes: NDArray[np.float64], starts: Int64s) -> tuple[Int64s, Any]:
    """Return the index of the first value of each run that equals its extreme, and a mask of the runs that have one.

    A run without a value, since all are NaN, has the index 0.

    Args:
        values: float64[..., n].
        extremes: float64[..., b], the extreme of each run.
        starts: int64[b], ascending, the first 0; a run ends at the next start.
    """
    count = values.shape[-1]
    lengths = np.diff(np.append(starts, count))
    # int32 suffices, and halves the memory: a flush or an answer has fewer than 2^31 points.
    indexes = np.arange(count, dtype=np.int32)
    hits = np.where(values == np.repeat(extremes, lengths, axis=-1), indexes, np.int32(count))
    first = np.minimum.reduceat(hits, starts, axis=-1)
    present = first < count
    first[~present] = 0
    return first, present
