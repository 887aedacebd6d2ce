"""Reads what views are made of: rollups where whole closed buckets fit, points else; few statements for many series.

One statement reads a level of rollups with the finer levels at the ranges' ends, one the points at those ends, and
one the series that are read point by point, each for all series of a project at once, in portions of bounded size.
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
    concatenated,
    in_order,
    of_points,
    overflowed,
    widened,
)
from stepwell_query.series.read_plan import Batch, Form, Reading, batches
from stepwell_query.series.segments import POINTS
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.kinds import Kind

Statement = tuple[str, dict[str, Any]]

DRAWN_TABLES: Final = {Kind.NUMBER: "points_number", Kind.BOOL: "points_bool"}

_STEPS: Final = "step BETWEEN {low:Int64} AND {high:Int64}"
_BY_SERIES: Final = "ORDER BY entity, project, run_id, key"
_HASH: Final = "sipHash64Keyed((toUInt64({seed:UInt64}), toUInt64(0)), step)"
_HASHES: Final = 1 << 64
# Said outright: finding out by itself what to read first costs ClickHouse half of a short statement's time.
_WHERE: Final = "PREWHERE"
_ROLLUP_COLUMNS: Final = (
    "level, bucket, version, last_step, last_value, min_value, max_value, total, finite, nans, count"
)
_TIME: Final = ", toUnixTimestamp64Milli(timestamp) AS time"


class RowReader:
    """Reads buckets of series; `times` and `extremes` ask for the columns that are zeros otherwise."""

    def __init__(self, store: Store, max_seconds: float, *, times: bool = False, extremes: bool = False) -> None:
        self._store = store
        self._times = times
        self._extremes = extremes
        self._limits = f"SETTINGS max_execution_time = {max_seconds:f}"

    def read(self, readings: Sequence[Reading], limit: int | None = None) -> Buckets:
        """Return the buckets of all readings, each of a series of its own; the owner is a reading's place.

        Args:
            limit: rows of one series, at most, where the readings have shift 0.

        Raises:
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """
        parts = []
        for form, batch in batches(readings):
            part = self._part(form, batch, limit)
            parts.append(part.owned(batch.owners[part.owner]))
        return concatenated(parts)

    def read_at(self, readings: Sequence[Reading], others: Sequence[Reading]) -> Buckets:
        """Return the rows of readings of shift 0 at those steps at which any other series of their run has one.

        The others should have few rows: the time this takes depends on them, and not on how long the series are.
        """
        parts = []
        for form, batch in batches(readings, portion_rows=None):
            near = [other for other in others if other.run[:2] == (form.entity, form.project)]
            tables = sorted({other.info.kind for other in near})
            steps = " UNION ALL ".join(
                f"SELECT run_id, step FROM {{db}}.{DRAWN_TABLES[kind]} {_WHERE} {OF_PROJECT}"
                f" AND (run_id, key) IN {{{kind}_others:Array(Tuple(String, String))}} AND {_STEPS}"
                for kind in tables
            )
            named: dict[str, Any] = {
                f"{kind}_others": [(other.run.run_id, other.info.key) for other in near if other.info.kind is kind]
                for kind in tables
            }
            part = self._points(form, batch, None, f" AND (run_id, step) IN ({steps})", **named)
            parts.append(part.owned(batch.owners[part.owner]))
        return concatenated(parts)

    def read_random(self, readings: Sequence[Reading], counts: Int64s, points: int, seed: int) -> Buckets:
        """Return `points` rows of each reading of shift 0, drawn at random; `counts` says how many rows each has.

        They are those whose steps have the least hashes under the seed. All rows are looked at, and few returned. Once
        in a billion times there is a row or two less.
        """
        parts = []
        sizes = [int(count).bit_length() for count in counts]
        for size in sorted(set(sizes)):
            places = np.array([place for place, own in enumerate(sizes) if own == size])
            share = (points + 6 * math.sqrt(points) + 20) / int(counts[places].min())
            more: dict[str, Any] = {"seed": seed, "bound": min(int(share * _HASHES), _HASHES - 1)}
            for form, batch in batches([readings[place] for place in places], portion_rows=None):
                part = self._points(form, batch, points, f" AND {_HASH} <= {{bound:UInt64}}", f"{_HASH}, step", **more)
                parts.append(part.owned(places[batch.owners[part.owner]]))
        return concatenated(parts)

    def _part(self, form: Form, batch: Batch, limit: int | None) -> Buckets:
        if form.grouped:
            return self._grouped(form, batch)
        if form.level == POINTS:
            return self._points(form, batch, limit)
        return widened(concatenated(self._rolled(form, batch)), batch.shifts)

    def _points(
        self, form: Form, batch: Batch, limit: int | None, further: str = "", order: str = "step", **more: Any
    ) -> Buckets:
        chosen, named = batch.chosen()
        limited = "" if limit is None else f"LIMIT {limit:d} BY run_id, key"
        table = self._query(
            f"SELECT {self._point_columns(form, batch)} FROM {_table(form.kind, form.rewritten)}"
            f" {_WHERE} {chosen} AND {_STEPS}{further} {_BY_SERIES}, {order} {limited}",
            batch,
            **named,
            **batch.range(),
            **more,
        )
        return self._of_points(table, batch, batch.shifts)

    def _rolled(self, form: Form, batch: Batch) -> list[Buckets]:
        """Read rollups and the points at the ranges' ends at once: on their own, they take each as long as both."""
        rollups, edges = self._rollups(form, batch), self._edges(form, batch)
        tables = self._store.queries([*rollups, *edges.values()])
        found = [self._of_rollups(table, batch) for table in tables[: len(rollups)]]
        for rewritten, table in zip(edges, tables[len(rollups) :], strict=True):
            # Few names say it all, and may name series besides, which the other statement reads.
            found.append(self._of_points(table, batch, batch.shifts, batch.rewritten == rewritten))
        return found

    def _rollups(self, form: Form, batch: Batch) -> list[Statement]:
        """Return the statement that reads rollups, if one is needed."""
        conditions: list[str] = []
        named: dict[str, Any] = {}
        if (extent := batch.extent(form.level)) is not None:
            chosen, named = batch.chosen()
            conditions.append(
                f"{chosen} AND level = {form.level:d} AND bucket BETWEEN {{first:Int64}} AND {{last:Int64}}"
            )
            named |= {"first": extent[0], "last": extent[1]}
        if (edges := batch.edges([level for level in LEVELS if level < form.level])) is not None:
            conditions.append(edges[0])
            named |= edges[1]
        if not conditions:
            return []
        more = ", toUnixTimestamp64Milli(last_timestamp) AS time" if self._times else ""
        more += ", min_step, max_step" if self._extremes else ""
        sql = f"SELECT {batch.cell}, {_ROLLUP_COLUMNS}{more} FROM {{db}}.rollups {_WHERE} {' OR '.join(conditions)}"
        return [self._statement(sql, batch, **named)]

    def _edges(self, form: Form, batch: Batch) -> dict[bool, Statement]:
        """Return the statements that read the points at the ranges' ends, by whether their series are rewritten."""
        statements: dict[bool, Statement] = {}
        for rewritten in (False, True):
            edges = batch.edges([POINTS], rewritten)
            if edges is not None:
                # The first condition is cheap, and leaves few rows for the second, which chooses the granules.
                sql = (
                    f"SELECT {self._point_columns(form, batch)} FROM {_table(form.kind, rewritten)}"
                    f" {_WHERE} bitShiftRight(step, {LEVELS[0]}) IN {{ends:Array(Int64)}} WHERE {edges[0]}"
                )
                statements[rewritten] = self._statement(sql, batch, ends=batch.ends(), **edges[1])
        return statements

    def _grouped(self, form: Form, batch: Batch) -> Buckets:
        """Read booleans by buckets; their sums are exact in any order."""
        time = ", toUnixTimestamp64Milli(argMax(timestamp, step)) AS time" if self._times else ""
        steps = ", argMin(step, (value, step)) AS min_step, argMax(step, (value, -step)) AS max_step"
        chosen, named = batch.chosen()
        rows = f"SELECT {batch.cell}, step, timestamp, value FROM {_table(form.kind, form.rewritten)}"
        table = self._query(
            f"SELECT cell, max(step) AS last, toFloat64(argMax(value, step)) AS last_value,"
            f" toFloat64(min(value)) AS low, toFloat64(max(value)) AS high, toFloat64(sum(value)) AS total,"
            f" count() AS rows{time}{steps if self._extremes else ''}"
            f" FROM ({rows} {_WHERE} {chosen} AND {_STEPS}) WHERE step <= {{highs:Array(Int64)}}[cell + 1]"
            f" GROUP BY cell, bitShiftRight(step, {form.grouped:d}) ORDER BY cell, last",
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

    def _of_rollups(self, table: pa.Table, batch: Batch) -> Buckets:
        owner, level, bucket = batch.local(_column(table, "cell")), _ints(table, "level"), _ints(table, "bucket")
        start = bucket << level
        order = np.lexsort((_column(table, "version"), start, owner))
        kept = order[batch.covered(owner, level, bucket)[order]]
        # Of several rows of a bucket, the one that has seen the newest version holds.
        later = (owner[kept][1:] != owner[kept][:-1]) | (start[kept][1:] != start[kept][:-1])
        kept = kept[np.append(later, True)] if len(kept) else kept
        rows = Buckets(
            owner, _ints(table, "last_step"), _column(table, "last_value"),
            _column(table, "min_value"), _column(table, "max_value"), _column(table, "total"),
            _ints(table, "finite"), _ints(table, "nans"), _ints(table, "count"),
            *self._optional(table),
        )  # fmt: skip
        found = rows.take(kept)
        beyond = overflowed(found)
        if beyond.any():
            scaled = found.total * SCALE
            scaled[beyond] = self._scaled(batch, found.owner[beyond], level[kept][beyond], bucket[kept][beyond])
            found = replace(found, scaled=scaled)
        return widened(found, batch.shifts)

    def _scaled(self, batch: Batch, owner: Int64s, level: Int64s, bucket: Int64s) -> NDArray[np.float64]:
        """Return the scaled sums of buckets whose totals are beyond float64's range, from their points."""
        sums = np.zeros(len(owner))
        for one in np.unique(level).tolist():
            places = np.flatnonzero(level == one)
            wanted = np.unique(bucket[places])
            chosen, named = batch.chosen()
            # Within `if`, since ClickHouse takes a division by a constant out of a sum.
            table = self._query(
                f"SELECT {batch.cell}, intDiv(step, {1 << one}) AS place,"
                f" sum(if(isFinite(value), value / {1 / SCALE:.0f}., 0)) AS scaled"
                f" FROM {_table(Kind.NUMBER, rewritten=True)} {_WHERE} {chosen} AND {_STEPS}"
                f" AND intDiv(step, {1 << one}) IN {{places:Array(Int64)}} GROUP BY cell, place",
                batch,
                places=wanted.tolist(),
                low=int(wanted[0]) << one,
                high=((int(wanted[-1]) + 1) << one) - 1,
                **named,
            )
            cells = zip(batch.local(_column(table, "cell")).tolist(), _ints(table, "place").tolist(), strict=True)
            found = dict(zip(cells, _column(table, "scaled").tolist(), strict=True))
            sums[places] = [found.get(cell, 0.0) for cell in zip(owner[places], bucket[places], strict=True)]
        return sums

    def _of_points(
        self, table: pa.Table, batch: Batch, shifts: Int64s, among: NDArray[np.bool_] | None = None
    ) -> Buckets:
        owner, step, value = batch.local(_column(table, "cell")), _ints(table, "step"), _column(table, "value")
        time = _ints(table, "time") if self._times else None
        covered = batch.covered(owner, POINTS, step)
        if among is not None:
            covered &= among[owner]
        if not covered.all():
            owner, step, value = owner[covered], step[covered], value[covered]
            time = None if time is None else time[covered]
        if not in_order(owner, step):
            order = np.lexsort((step, owner))
            owner, step, value = owner[order], step[order], value[order]
            time = None if time is None else time[order]
        return of_points(owner, step, value, time, shifts, self._extremes)

    def _optional(self, table: pa.Table) -> tuple[Int64s | None, Int64s | None, Int64s | None]:
        """Return the columns `time`, `low_step` and `high_step`."""
        low, high = (_ints(table, name) if self._extremes else None for name in ("min_step", "max_step"))
        return _ints(table, "time") if self._times else None, low, high

    def _point_columns(self, form: Form, batch: Batch) -> str:
        value = "value" if form.kind is Kind.NUMBER else "toFloat64(value) AS value"
        return f"{batch.cell}, step, {value}{_TIME if self._times else ''}"

    def _query(self, sql: str, batch: Batch, **more: Any) -> pa.Table:
        return self._store.query(*self._statement(sql, batch, **more))

    def _statement(self, sql: str, batch: Batch, **more: Any) -> Statement:
        return f"{sql} {self._limits}", batch.parameters() | more


def _table(kind: Kind, rewritten: bool) -> str:
    return f"{{db}}.{DRAWN_TABLES[kind]} {'FINAL' if rewritten else ''}"


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    values: NDArray[Any] = table.column(name).to_numpy()
    return values


def _ints(table: pa.Table, name: str) -> Int64s:
    return _column(table, name).astype(np.int64, copy=False)
