"""Rows of rollups and of points from the tables that statements return: sorted, and each once."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.series.bucket_statements import STEPS, WHERE, table_of
from stepwell_query.series.math.buckets import SCALE, Buckets, Int64s, from_points, is_sorted, sum_overflows
from stepwell_query.series.read_batches import ReadBatch
from stepwell_query.series.segments import POINTS
from stepwell_schemas.rollups.sql import bucket_sql
from stepwell_schemas.rules.kinds import Kind

Chosen = Callable[[Int64s, Int64s | int, Int64s], NDArray[np.bool_]]
"""Returns a mask of rows by their owner, level and bucket; the bucket of a point is its step."""


class Query(Protocol):
    """Runs a statement about a batch with the request's limits."""

    def __call__(self, sql: str, batch: ReadBatch, **more: Any) -> pa.Table:
        """Return its rows. Raises: StoreError, ClientGoneError."""


class PointRows(NamedTuple):
    """Points of several series in columns, sorted by series and step; `time` is None if it was not requested."""

    owner: Int64s
    step: Int64s
    value: NDArray[np.float64]
    time: Int64s | None

    def take(self, chosen: Any) -> PointRows:
        """Return the points that a slice, a mask or an array of indexes selects."""
        time = None if self.time is None else self.time[chosen]
        return PointRows(self.owner[chosen], self.step[chosen], self.value[chosen], time)


class RowDecoder:
    """Decodes tables; `times` and `extremes` as of `BucketReader`.

    Attributes:
        columns: both flags.
    """

    def __init__(self, query: Query, *, times: bool, extremes: bool) -> None:
        self.columns = (times, extremes)
        self._query = query
        self._times = times
        self._extremes = extremes

    def rollups(self, table: pa.Table, batch: ReadBatch, chosen: Chosen) -> Buckets:
        """Return the chosen rows of rollups, of each bucket the valid one. Raises: StoreError."""
        owner, level, bucket = batch.local(column(table, "cell")), ints(table, "level"), ints(table, "bucket")
        start = bucket << level
        order = np.lexsort((column(table, "version"), start, owner))
        kept = order[(chosen(owner, level, bucket) & (level != POINTS))[order]]
        # Several rows of one bucket: the row with the newest version is valid.
        later = (owner[kept][1:] != owner[kept][:-1]) | (start[kept][1:] != start[kept][:-1])
        kept = kept[np.append(later, True)] if len(kept) else kept
        rows = Buckets(
            owner, ints(table, "last_step"), column(table, "last_value"),
            column(table, "min_value"), column(table, "max_value"), column(table, "total"),
            ints(table, "finite"), ints(table, "nans"), ints(table, "count"),
            *self.optional(table),
        )  # fmt: skip
        buckets = rows.take(kept)
        beyond = sum_overflows(buckets)
        if beyond.any():
            scaled = buckets.total * SCALE
            scaled[beyond] = self._scaled(batch, buckets.owner[beyond], level[kept][beyond], bucket[kept][beyond])
            buckets = replace(buckets, scaled=scaled)
        return buckets

    def points(self, table: pa.Table, batch: ReadBatch, chosen: Chosen) -> PointRows:
        """Return the chosen points; of a table with rollups, its points."""
        if "level" in table.column_names:
            table = table.filter(pa.array(column(table, "level") == POINTS))
        rows = PointRows(
            batch.local(column(table, "cell")),
            ints(table, "last_step"),
            column(table, "last_value"),
            ints(table, "time") if self._times else None,
        )
        mask = chosen(rows.owner, POINTS, rows.step)
        if not mask.all():
            rows = rows.take(mask)
        if not is_sorted(rows.owner, rows.step):
            rows = rows.take(np.lexsort((rows.step, rows.owner)))
        again = (rows.owner[1:] == rows.owner[:-1]) & (rows.step[1:] == rows.step[:-1])
        # Of series without steps written twice: the same point, of a flush that was stored twice.
        return rows.take(np.append(True, ~again)) if again.any() else rows

    def to_buckets(self, points: PointRows, shifts: Int64s) -> Buckets:
        """Return points in buckets of `2**shifts[owner]` steps."""
        return from_points(*points, shifts, self._extremes)

    def optional(self, table: pa.Table) -> tuple[Int64s | None, Int64s | None, Int64s | None]:
        """Return the columns `time`, `min_step` and `max_step`, None if not requested."""
        low, high = (ints(table, name) if self._extremes else None for name in ("min_step", "max_step"))
        return ints(table, "time") if self._times else None, low, high

    def _scaled(self, batch: ReadBatch, owner: Int64s, level: Int64s, bucket: Int64s) -> NDArray[np.float64]:
        """Return the scaled sums of buckets whose totals overflow float64, computed from their points."""
        sums = np.zeros(len(owner))
        for each_level in np.unique(level).tolist():
            indexes = np.flatnonzero(level == each_level)
            bucket_numbers = np.unique(bucket[indexes])
            chosen, named = batch.chosen()
            # The division is inside `if`: ClickHouse moves a division by a constant out of a sum.
            table = self._query(
                f"SELECT {batch.cell}, {bucket_sql(each_level)} AS place,"
                f" sum(if(isFinite(value), value / {1 / SCALE:.0f}., 0)) AS scaled"
                f" FROM {table_of(Kind.NUMBER, rewritten=True)} {WHERE} {chosen} AND {STEPS}"
                f" AND {bucket_sql(each_level)} IN {{buckets:Array(Int64)}} GROUP BY cell, place",
                batch,
                buckets=bucket_numbers.tolist(),
                low=int(bucket_numbers[0]) << each_level,
                high=((int(bucket_numbers[-1]) + 1) << each_level) - 1,
                **named,
            )
            cells = zip(batch.local(column(table, "cell")).tolist(), ints(table, "place").tolist(), strict=True)
            buckets = dict(zip(cells, column(table, "scaled").tolist(), strict=True))
            sums[indexes] = [buckets.get(cell, 0.0) for cell in zip(owner[indexes], bucket[indexes], strict=True)]
        return sums


def column(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column as an array."""
    values: NDArray[Any] = table.column(name).to_numpy()
    return values


def ints(table: pa.Table, name: str) -> Int64s:
    """Return a column of integers as int64[n]."""
    return column(table, name).astype(np.int64, copy=False)
