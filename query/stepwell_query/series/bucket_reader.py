"""Reads of buckets: rollups where whole closed buckets fit, otherwise points; few statements for many series.

For all series of a project, in portions of bounded size, one statement reads a level of rollups with the finer levels
at the ends of the ranges, one statement reads the points at those ends, and one reads the series that need all points.
The first two are one statement for few series.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.query_limits import QueryLimits
from stepwell_query.series.bucket_statements import STEPS, WHERE, BucketStatements, Statement, table_of
from stepwell_query.series.known_rows import RunRows
from stepwell_query.series.math.buckets import Buckets, Int64s, concatenate, widen
from stepwell_query.series.models import DRAWN_TABLES
from stepwell_query.series.page_reader import PageReader
from stepwell_query.series.read_batches import ReadBatch, plan_batches
from stepwell_query.series.read_plan import ReadKind, SeriesRead
from stepwell_query.series.row_decoder import RowDecoder, column, ints
from stepwell_query.series.segments import POINTS
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import bucket_sql

_BY_SERIES: Final = "ORDER BY entity, project"
_HASH: Final = "sipHash64Keyed((toUInt64({seed:UInt64}), toUInt64(0)), step)"
_HASHES: Final = 1 << 64


class BucketReader:
    """Reads buckets of series; `times` requests the column `time`, `extremes` the columns `min_step` and `max_step`.

    Rows that are `known` are not read again.
    """

    def __init__(
        self,
        store: Store,
        limits: QueryLimits,
        *,
        times: bool = False,
        extremes: bool = False,
        known: RunRows | None = None,
    ) -> None:
        self._store = store
        self._times = times
        self._extremes = extremes
        self._statements = BucketStatements(times=times, extremes=extremes)
        self._decoder = RowDecoder(self._query, times=times, extremes=extremes)
        self._pages = PageReader(self._query, self._statements, self._decoder, known) if known else None
        self._limits = limits

    def read(self, reads: Sequence[SeriesRead], limit: int | None = None) -> Buckets:
        """Return the buckets of all reads, each of a different series; a bucket's owner is the index of its read.

        Args:
            limit: maximum rows of one series, for reads of shift 0.

        Raises:
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """
        paged = self._pages.choose(reads) if self._pages and limit is None else []
        others = sorted(set(range(len(reads))).difference(paged))
        parts = []
        if self._pages and paged:
            part = self._pages.read([reads[index] for index in paged])
            parts.append(part.owned(np.array(paged)[part.owner]))
        for read_kind, batch in plan_batches([reads[index] for index in others]):
            part = self._part(read_kind, batch, limit)
            parts.append(part.owned(np.array(others)[batch.owners[part.owner]]))
        return concatenate(parts)

    def read_at(self, reads: Sequence[SeriesRead], others: Sequence[SeriesRead]) -> Buckets:
        """Return the rows of reads of shift 0 at the steps at which any of the other series of their run has a row.

        The other series should have few rows: the time depends on them, and not on the length of the series read.
        """
        parts = []
        for read_kind, batch in plan_batches(reads, portion_rows=None):
            near = [other for other in others if other.run[:2] == (read_kind.entity, read_kind.project)]
            tables = sorted({other.info.kind for other in near})
            steps = " UNION ALL ".join(
                f"SELECT run_id, step FROM {{db}}.{DRAWN_TABLES[kind]} {WHERE} {OF_PROJECT}"
                f" AND (run_id, key, writer) IN {{{kind}_others:Array(Tuple(String, String, String))}} AND {STEPS}"
                for kind in tables
            )
            named: dict[str, Any] = {
                f"{kind}_others": [other.series for other in near if other.info.kind is kind] for kind in tables
            }
            part = self._points(read_kind, batch, None, f" AND (run_id, step) IN ({steps})", **named)
            parts.append(part.owned(batch.owners[part.owner]))
        return concatenate(parts)

    def read_random(self, reads: Sequence[SeriesRead], counts: Int64s, points: int, seed: int) -> Buckets:
        """Return `points` random rows of each read of shift 0; `counts` has the number of rows of each.

        The rows are those whose steps have the smallest hashes under the seed. ClickHouse scans all rows and returns
        few of them. With a probability of about 1e-9, a row or two are missing.
        """
        parts = []
        sizes = [int(count).bit_length() for count in counts]
        for size in sorted(set(sizes)):
            indexes = np.array([index for index, own in enumerate(sizes) if own == size])
            share = (points + 6 * math.sqrt(points) + 20) / int(counts[indexes].min())
            more: dict[str, Any] = {"seed": seed, "bound": min(int(share * _HASHES), _HASHES - 1)}
            for read_kind, batch in plan_batches([reads[index] for index in indexes], portion_rows=None):
                part = self._points(
                    read_kind, batch, points, f" AND {_HASH} <= {{bound:UInt64}}", f"{_HASH}, step", **more
                )
                parts.append(part.owned(indexes[batch.owners[part.owner]]))
        return concatenate(parts)

    def _part(self, read_kind: ReadKind, batch: ReadBatch, limit: int | None) -> Buckets:
        if read_kind.grouped:
            return self._grouped(read_kind, batch)
        if read_kind.level == POINTS:
            return self._points(read_kind, batch, limit)
        return widen(concatenate(self._rolled(read_kind, batch)), batch.shifts)

    def _points(
        self,
        read_kind: ReadKind,
        batch: ReadBatch,
        limit: int | None,
        further: str = "",
        order: str = "step",
        **more: Any,
    ) -> Buckets:
        chosen, named = batch.chosen()
        limited = "" if limit is None else f"LIMIT {limit:d} BY {batch.series_columns}"
        # A point that was stored twice counts once in the limit.
        source = table_of(read_kind.kind, read_kind.rewritten or limit is not None)
        table = self._query(
            f"SELECT {self._statements.point_columns(read_kind.kind, batch)} FROM {source}"
            f" {WHERE} {chosen} AND {STEPS}{further} {_BY_SERIES}, {batch.series_columns}, {order} {limited}",
            batch,
            **named,
            **batch.range(),
            **more,
        )
        return self._buckets_from_points(table, batch)

    def _rolled(self, read_kind: ReadKind, batch: ReadBatch) -> list[Buckets]:
        """Read rollups, and the points at the ends of the ranges: in one statement, or in several concurrently."""
        rollups, points = self._statements.rolled(read_kind, batch)
        statements = [*rollups, *(statement for statement in points if statement)]
        tables = iter(self._store.queries([self._statement(sql, batch, **named) for sql, named in statements]))
        buckets = []
        for table in (next(tables) for _ in rollups):
            buckets.append(self._buckets_from_rollups(table, batch))
            if not points:
                buckets.append(self._buckets_from_points(table, batch))
        for rewritten, statement in zip((False, True), points, strict=False):
            if statement:
                # The condition may also match series that the other statement reads.
                among = batch.rewritten == rewritten
                buckets.append(self._buckets_from_points(next(tables), batch, among))
        return buckets

    def _grouped(self, read_kind: ReadKind, batch: ReadBatch) -> Buckets:
        """Read booleans aggregated by ClickHouse; their sums do not depend on the order of the rows."""
        time = ", toUnixTimestamp64Milli(argMax(timestamp, step)) AS time" if self._times else ""
        steps = ", argMin(step, (value, step)) AS min_step, argMax(step, (value, -step)) AS max_step"
        chosen, named = batch.chosen()
        rows = f"SELECT {batch.cell}, step, timestamp, value FROM {table_of(read_kind.kind, rewritten=True)}"
        table = self._query(
            f"SELECT cell, max(step) AS last, toFloat64(argMax(value, step)) AS last_value,"
            f" toFloat64(min(value)) AS low, toFloat64(max(value)) AS high, toFloat64(sum(value)) AS total,"
            f" count() AS rows{time}{steps if self._extremes else ''}"
            f" FROM ({rows} {WHERE} {chosen} AND {STEPS}) WHERE step <= {{highs:Array(Int64)}}[cell + 1]"
            f" GROUP BY cell, {bucket_sql(read_kind.grouped)} ORDER BY cell, last",
            batch,
            highs=batch.highs(),
            **named,
            **batch.range(),
        )
        count = ints(table, "rows")
        return Buckets(
            batch.local(column(table, "cell")), ints(table, "last"), column(table, "last_value"),
            column(table, "low"), column(table, "high"), column(table, "total"),
            count, np.zeros_like(count), count, *self._decoder.optional(table),
        )  # fmt: skip

    def _buckets_from_rollups(self, table: pa.Table, batch: ReadBatch) -> Buckets:
        return widen(self._decoder.rollups(table, batch, batch.covered), batch.shifts)

    def _buckets_from_points(
        self, table: pa.Table, batch: ReadBatch, among: NDArray[np.bool_] | None = None
    ) -> Buckets:
        def chosen(owner: Int64s, level: Int64s | int, bucket: Int64s) -> NDArray[np.bool_]:
            covered = batch.covered(owner, level, bucket)
            return covered if among is None else covered & among[owner]

        return self._decoder.to_buckets(self._decoder.points(table, batch, chosen), batch.shifts)

    def _query(self, sql: str, batch: ReadBatch, **more: Any) -> pa.Table:
        return self._store.query(*self._statement(sql, batch, **more))

    def _statement(self, sql: str, batch: ReadBatch, **more: Any) -> Statement:
        self._limits.mark.check()
        return f"{sql} {self._limits}", batch.parameters() | more
