"""Reads of buckets: rollups where whole closed buckets fit, otherwise points; few statements for many series.

For all series of a project, in portions of bounded size, one statement reads a level of rollups with the finer levels
at the ends of the ranges, one statement reads the points at those ends, and one reads the series that need all points.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.series.math.buckets import (
    SCALE,
    Buckets,
    Int64s,
    concatenate,
    from_points,
    is_sorted,
    sum_overflows,
    widen,
)
from stepwell_query.series.models import DRAWN_TABLES
from stepwell_query.series.read_plan import ReadBatch, ReadKind, SeriesRead, plan_batches
from stepwell_query.series.segments import POINTS
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import LEVELS, bucket_sql
from stepwell_schemas.rules.kinds import Kind

Statement = tuple[str, dict[str, Any]]

_STEPS: Final = "step BETWEEN {low:Int64} AND {high:Int64}"
_BY_SERIES: Final = "ORDER BY entity, project"
_HASH: Final = "sipHash64Keyed((toUInt64({seed:UInt64}), toUInt64(0)), step)"
_HASHES: Final = 1 << 64
# Explicit PREWHERE: choosing the columns to read first by itself costs ClickHouse half of a short statement's time.
_WHERE: Final = "PREWHERE"
_ROLLUP_COLUMNS: Final = (
    "level, bucket, version, last_step, last_value, min_value, max_value, total, finite, nans, count"
)
_TIME: Final = ", toUnixTimestamp64Milli(timestamp) AS time"


class BucketReader:
    """Reads buckets of series; `times` requests the column `time`, `extremes` the columns `min_step` and `max_step`."""

    def __init__(self, store: Store, max_seconds: float, *, times: bool = False, extremes: bool = False) -> None:
        self._store = store
        self._times = times
        self._extremes = extremes
        self._limits = f"SETTINGS max_execution_time = {max_seconds:f}"

    def read(self, reads: Sequence[SeriesRead], limit: int | None = None) -> Buckets:
        """Return the buckets of all reads, each of a different series; a bucket's owner is the index of its read.

        Args:
            limit: maximum rows of one series, for reads of shift 0.

        Raises:
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """
        parts = []
        for read_kind, batch in plan_batches(reads):
            part = self._part(read_kind, batch, limit)
            parts.append(part.owned(batch.owners[part.owner]))
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
                f"SELECT run_id, step FROM {{db}}.{DRAWN_TABLES[kind]} {_WHERE} {OF_PROJECT}"
                f" AND (run_id, key, writer) IN {{{kind}_others:Array(Tuple(String, String, String))}} AND {_STEPS}"
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
        source = _table(read_kind.kind, read_kind.rewritten or limit is not None)
        table = self._query(
            f"SELECT {self._point_columns(read_kind, batch)} FROM {source}"
            f" {_WHERE} {chosen} AND {_STEPS}{further} {_BY_SERIES}, {batch.series_columns}, {order} {limited}",
            batch,
            **named,
            **batch.range(),
            **more,
        )
        return self._buckets_from_points(table, batch, batch.shifts)

    def _rolled(self, read_kind: ReadKind, batch: ReadBatch) -> list[Buckets]:
        """Read rollups and the points at the ends of the ranges concurrently; each alone takes as long as both."""
        rollups, edges = self._rollups(read_kind, batch), self._edges(read_kind, batch)
        tables = self._store.queries([*rollups, *edges.values()])
        buckets = [self._buckets_from_rollups(table, batch) for table in tables[: len(rollups)]]
        for rewritten, table in zip(edges, tables[len(rollups) :], strict=True):
            # The condition may also match series that the other statement reads.
            buckets.append(self._buckets_from_points(table, batch, batch.shifts, batch.rewritten == rewritten))
        return buckets

    def _rollups(self, read_kind: ReadKind, batch: ReadBatch) -> list[Statement]:
        """Return the statement that reads rollups, or no statement if none are needed."""
        conditions: list[str] = []
        named: dict[str, Any] = {}
        if (extent := batch.extent(read_kind.level)) is not None:
            chosen, named = batch.chosen()
            conditions.append(
                f"{chosen} AND level = {read_kind.level:d} AND bucket BETWEEN {{first:Int64}} AND {{last:Int64}}"
            )
            named |= {"first": extent[0], "last": extent[1]}
        if (edges := batch.edges([level for level in LEVELS if level < read_kind.level])) is not None:
            conditions.append(edges[0])
            named |= edges[1]
        if not conditions:
            return []
        more = ", toUnixTimestamp64Milli(last_timestamp) AS time" if self._times else ""
        more += ", min_step, max_step" if self._extremes else ""
        sql = f"SELECT {batch.cell}, {_ROLLUP_COLUMNS}{more} FROM {{db}}.rollups {_WHERE} {' OR '.join(conditions)}"
        return [self._statement(sql, batch, **named)]

    def _edges(self, read_kind: ReadKind, batch: ReadBatch) -> dict[bool, Statement]:
        """Return the statements for the points at the ends of the ranges, by the flag `rewritten` of their series."""
        statements: dict[bool, Statement] = {}
        for rewritten in (False, True):
            edges = batch.edges([POINTS], rewritten)
            if edges is not None:
                # The first condition is cheap and leaves few rows for the second, which selects the granules.
                sql = (
                    f"SELECT {self._point_columns(read_kind, batch)} FROM {_table(read_kind.kind, rewritten)}"
                    f" {_WHERE} {bucket_sql(LEVELS[0])} IN {{ends:Array(Int64)}} WHERE {edges[0]}"
                )
                statements[rewritten] = self._statement(sql, batch, ends=batch.ends(), **edges[1])
        return statements

    def _grouped(self, read_kind: ReadKind, batch: ReadBatch) -> Buckets:
        """Read booleans aggregated by ClickHouse; their sums do not depend on the order of the rows."""
        time = ", toUnixTimestamp64Milli(argMax(timestamp, step)) AS time" if self._times else ""
        steps = ", argMin(step, (value, step)) AS min_step, argMax(step, (value, -step)) AS max_step"
        chosen, named = batch.chosen()
        rows = f"SELECT {batch.cell}, step, timestamp, value FROM {_table(read_kind.kind, rewritten=True)}"
        table = self._query(
            f"SELECT cell, max(step) AS last, toFloat64(argMax(value, step)) AS last_value,"
            f" toFloat64(min(value)) AS low, toFloat64(max(value)) AS high, toFloat64(sum(value)) AS total,"
            f" count() AS rows{time}{steps if self._extremes else ''}"
            f" FROM ({rows} {_WHERE} {chosen} AND {_STEPS}) WHERE step <= {{highs:Array(Int64)}}[cell + 1]"
            f" GROUP BY cell, {bucket_sql(read_kind.grouped)} ORDER BY cell, last",
            batch,
            highs=batch.highs(),
            **named,
            **batch.range(),
        )
        count = _ints(table, "rows")
        return Buckets(
            batch.local(_column(table, "cell")), _ints(table, "last"), _column(table, "last_value"),
            _column(table, "low"), _column(table, "high"), _column(table, "total"),
            count, np.zeros_like(count), count, *self._optional(table),
        )  # fmt: skip

    def _buckets_from_rollups(self, table: pa.Table, batch: ReadBatch) -> Buckets:
        owner, level, bucket = batch.local(_column(table, "cell")), _ints(table, "level"), _ints(table, "bucket")
        start = bucket << level
        order = np.lexsort((_column(table, "version"), start, owner))
        kept = order[batch.covered(owner, level, bucket)[order]]
        # Several rows of one bucket: the row with the newest version is valid.
        later = (owner[kept][1:] != owner[kept][:-1]) | (start[kept][1:] != start[kept][:-1])
        kept = kept[np.append(later, True)] if len(kept) else kept
        rows = Buckets(
            owner, _ints(table, "last_step"), _column(table, "last_value"),
            _column(table, "min_value"), _column(table, "max_value"), _column(table, "total"),
            _ints(table, "finite"), _ints(table, "nans"), _ints(table, "count"),
            *self._optional(table),
        )  # fmt: skip
        buckets = rows.take(kept)
        beyond = sum_overflows(buckets)
        if beyond.any():
            scaled = buckets.total * SCALE
            scaled[beyond] = self._scaled(batch, buckets.owner[beyond], level[kept][beyond], bucket[kept][beyond])
            buckets = replace(buckets, scaled=scaled)
        return widen(buckets, batch.shifts)

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
                f" FROM {_table(Kind.NUMBER, rewritten=True)} {_WHERE} {chosen} AND {_STEPS}"
                f" AND {bucket_sql(each_level)} IN {{buckets:Array(Int64)}} GROUP BY cell, place",
                batch,
                buckets=bucket_numbers.tolist(),
                low=int(bucket_numbers[0]) << each_level,
                high=((int(bucket_numbers[-1]) + 1) << each_level) - 1,
                **named,
            )
            cells = zip(batch.local(_column(table, "cell")).tolist(), _ints(table, "place").tolist(), strict=True)
            buckets = dict(zip(cells, _column(table, "scaled").tolist(), strict=True))
            sums[indexes] = [buckets.get(cell, 0.0) for cell in zip(owner[indexes], bucket[indexes], strict=True)]
        return sums

    def _buckets_from_points(
        self, table: pa.Table, batch: ReadBatch, shifts: Int64s, among: NDArray[np.bool_] | None = None
    ) -> Buckets:
        owner, step, value = batch.local(_column(table, "cell")), _ints(table, "step"), _column(table, "value")
        time = _ints(table, "time") if self._times else None
        covered = batch.covered(owner, POINTS, step)
        if among is not None:
            covered &= among[owner]
        if not covered.all():
            owner, step, value = owner[covered], step[covered], value[covered]
            time = None if time is None else time[covered]
        if not is_sorted(owner, step):
            order = np.lexsort((step, owner))
            owner, step, value = owner[order], step[order], value[order]
            time = None if time is None else time[order]
        again = (owner[1:] == owner[:-1]) & (step[1:] == step[:-1])
        if again.any():
            # Of a series without steps written twice: the same point, of a flush that was stored twice.
            once = np.append(True, ~again)
            owner, step, value = owner[once], step[once], value[once]
            time = None if time is None else time[once]
        return from_points(owner, step, value, time, shifts, self._extremes)

    def _optional(self, table: pa.Table) -> tuple[Int64s | None, Int64s | None, Int64s | None]:
        """Return the columns `time`, `min_step` and `max_step`, None if not requested."""
        low, high = (_ints(table, name) if self._extremes else None for name in ("min_step", "max_step"))
        return _ints(table, "time") if self._times else None, low, high

    def _point_columns(self, read_kind: ReadKind, batch: ReadBatch) -> str:
        value = "value" if read_kind.kind is Kind.NUMBER else "toFloat64(value) AS value"
        return f"{batch.cell}, step, {value}{_TIME if self._times else ''}"

    def _query(self, sql: str, batch: ReadBatch, **more: Any) -> pa.Table:
        return self._store.query(*self._statement(sql, batch, **more))

    def _statement(self, sql: str, batch: ReadBatch, **more: Any) -> Statement:
        return f"{sql} {self._limits}", batch.parameters() | more


def _table(kind: Kind, rewritten: bool) -> str:
    return f"{{db}}.{DRAWN_TABLES[kind]} {'FINAL' if rewritten else ''}"


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    values: NDArray[Any] = table.column(name).to_numpy()
    return values


def _ints(table: pa.Table, name: str) -> Int64s:
    return _column(table, name).astype(np.int64, copy=False)
