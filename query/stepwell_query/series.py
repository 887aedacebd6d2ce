"""Series for drawing: each of a run's asked metrics by at most `points` points.

One statement buckets all long series of a run in ClickHouse, another fetches the rows of all short ones. Series
that hold a step twice are read with FINAL, so that only the later value counts; the others don't pay for it.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog import OF_RUN, SeriesInfo, find_series, progress, read_definitions, run_parameters
from stepwell_query.errors import RequestError
from stepwell_query.sampling import BucketPlan, bucket_plan, clip
from stepwell_query.series_model import POINTS_MAX, Axis, Points, RunSeries, Sampling, SeriesRequest, SeriesView
from stepwell_schemas.clickhouse import Store
from stepwell_schemas.definitions import definition_of
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.keys import fold_key
from stepwell_schemas.kinds import Kind

_DRAWN_TABLES: Final = {Kind.NUMBER: "points_number", Kind.BOOL: "points_bool"}
_MILLISECONDS: Final = 1_000.0

# sumKahan, since a plain sum's last bits depend on the order in which threads and parts were added.
_OF_BUCKET: Final = """max(step) AS last, argMax(number, step) AS value, min(number) AS low, max(number) AS high,
sumKahan(if(isFinite(number), number, 0)) AS total, countIf(isFinite(number)) AS finite,
countIf(isNaN(number)) AS nans, count() AS rows"""


def read_series(store: Store, run: RunPath, request: SeriesRequest, max_seconds: float) -> RunSeries:
    """Read the asked series of one run.

    Raises:
        RunNotFoundError: when there is no such run.
        RequestError: when `x` names no number, or `raw` asks for more than POINTS_MAX rows of a series.
        StoreError: when ClickHouse does not answer, or a limit is reached.
    """
    reached = progress(store, run)
    found = find_series(store, run, request.keys)
    drawn = [info for info in found.series if info.kind in _DRAWN_TABLES]
    undrawn = [info for info in found.series if info.kind not in _DRAWN_TABLES]
    views: dict[SeriesInfo, SeriesView] = {}
    for x, series in _by_axis(store, run, request.x, drawn).items():
        reader = _Reader(store, run, request, x, reached.started_ms, max_seconds)
        views |= zip(series, reader.views(series), strict=True)
    return RunSeries(run, request, [views[info] for info in drawn], undrawn, found.unknown, reached)


def _by_axis(
    store: Store, run: RunPath, asked: str | None, series: list[SeriesInfo]
) -> dict[str | SeriesInfo, list[SeriesInfo]]:
    """Return the series by what they are drawn over: one of `Axis`, or a metric."""
    if asked is not None:
        return {_x_metric(store, run, asked): series}
    definitions = read_definitions(store, run)
    names = {info: definition_of(info.key, definitions).step_metric or Axis.STEP for info in series}
    wanted = sorted({name for name in names.values() if name not in set(Axis)})
    found = find_series(store, run, wanted).series if wanted else []
    numbers = {fold_key(info.key): info for info in found if info.kind is Kind.NUMBER}
    axes: dict[str | SeriesInfo, list[SeriesInfo]] = {}
    for info, name in names.items():
        x = name if name in set(Axis) else numbers.get(fold_key(name), Axis.STEP)
        # A metric over itself is one over its steps.
        axes.setdefault(Axis.STEP if x == info else x, []).append(info)
    return axes


def _x_metric(store: Store, run: RunPath, x: str) -> str | SeriesInfo:
    if x in set(Axis):
        return x
    numbers = [info for info in find_series(store, run, [x]).series if info.kind is Kind.NUMBER]
    if not numbers:
        rule = "is neither _step, _timestamp or _runtime nor a number that the run logged"
        raise RequestError("x", x, rule, f"GET /api/v1/runs/{run}/metrics lists what it logged")
    return numbers[0]


class _Reader:
    """Reads views of one run's series; a statement for each table and way of reading."""

    def __init__(
        self,
        store: Store,
        run: RunPath,
        request: SeriesRequest,
        x: str | SeriesInfo,
        started_ms: int,
        max_seconds: float,
    ) -> None:
        self._store = store
        self._run = run
        self._request = request
        self._axis = x if isinstance(x, str) else x.key
        self._x = None if isinstance(x, str) else x
        self._started_ms = started_ms
        self._limits = f"SETTINGS max_execution_time = {max_seconds:f}"

    def views(self, series: list[SeriesInfo]) -> list[SeriesView]:
        """Return a view of each series, in order."""
        plans = {index: plan for index, info in enumerate(series) if (plan := self._plan(info)) is not None}
        points = self._bucketed(series, {index: plan for index, plan in plans.items() if plan.shift})
        # What turned out to have no more rows than points asked for is answered by the rows themselves.
        for index in [index for index, view in points.items() if view.rows.sum() <= self._request.points]:
            plans[index] = replace(plans[index], shift=0)
        for kind in _DRAWN_TABLES:
            short = {i: plan for i, plan in plans.items() if not plan.shift and series[i].kind is kind}
            points |= self._raw(kind, series, short)
        return [
            SeriesView(
                self._axis, info, plans.get(index, BucketPlan(info.first, info.last, 0)), points.get(index, _NO_POINTS)
            )
            for index, info in enumerate(series)
        ]

    def _plan(self, info: SeriesInfo) -> BucketPlan | None:
        extent = clip(info.first, info.last, self._request.low, self._request.high)
        if extent is None:
            return None
        if self._request.sampling is Sampling.RAW:
            return BucketPlan(*extent, 0)
        return bucket_plan(*extent, info.rows, self._request.points)

    def _bucketed(self, series: list[SeriesInfo], plans: dict[int, BucketPlan]) -> dict[int, Points]:
        if not plans:
            return {}
        parameters = self._parameters()
        branches = []
        for index, plan in plans.items():
            parameters |= {
                f"key_{index}": series[index].key,
                f"low_{index}": plan.first,
                f"high_{index}": plan.last,
                f"shift_{index}": plan.shift,
            }
            steps = f"step BETWEEN {{low_{index}:Int64}} AND {{high_{index}:Int64}}"
            source = self._source(
                series[index].kind, f"key = {{key_{index}:String}} AND {steps}", rewritten=series[index].rewritten
            )
            bucket = f"bitShiftRight(step, {{shift_{index}:UInt8}})"
            branches.append(f"SELECT {index} AS series, {_OF_BUCKET}{self._x_of_last} FROM {source} GROUP BY {bucket}")
        sql = f"SELECT * FROM ({' UNION ALL '.join(branches)}) ORDER BY series, last {self._limits}"
        table = self._store.query(sql, parameters)
        return {index: self._bucket_points(part) for index, part in _split(table, list(plans)).items()}

    def _raw(self, kind: Kind, series: list[SeriesInfo], plans: dict[int, BucketPlan]) -> dict[int, Points]:
        if not plans:
            return {}
        parameters = self._parameters() | {
            "keys": [series[index].key for index in plans],
            "low": min(plan.first for plan in plans.values()),
            "high": max(plan.last for plan in plans.values()),
        }
        condition = "key IN {keys:Array(String)} AND step BETWEEN {low:Int64} AND {high:Int64}"
        source = self._source(kind, condition, rewritten=any(series[index].rewritten for index in plans))
        sql = (
            f"SELECT indexOf({{keys:Array(String)}}, key) - 1 AS series, step AS last, number AS value{self._x_of_row}"
            f" FROM {source} ORDER BY series, last LIMIT {POINTS_MAX + 1} BY series {self._limits}"
        )
        parts = _split(self._store.query(sql, parameters), list(range(len(plans))))
        for (index, plan), part in zip(plans.items(), parts.values(), strict=True):
            if part.num_rows > POINTS_MAX:
                rule = f"{series[index].key!r} has more than {POINTS_MAX:,} rows from {plan.first} to {plan.last}"
                raise RequestError("sampling", "raw", rule, "narrow from and to, take sampling=buckets, or use scan")
        return {
            index: self._row_points(_until(part, plan.last))
            for (index, plan), part in zip(plans.items(), parts.values(), strict=True)
        }

    def _parameters(self) -> dict[str, Any]:
        return run_parameters(self._run) | ({"x": self._x.key} if self._x else {})

    def _source(self, kind: Kind, condition: str, *, rewritten: bool) -> str:
        """Return a source of rows (key, step, timestamp, number and, where a metric is on the x axis, x)."""
        number = "value" if kind is Kind.NUMBER else "toFloat64(value)"
        final = "FINAL" if rewritten else ""
        rows = f"SELECT key, step, timestamp, {number} AS number FROM {{db}}.{_DRAWN_TABLES[kind]} {final}"
        rows = f"({rows} WHERE {OF_RUN} AND {condition})"
        if self._x is None:
            return rows
        final = "FINAL" if self._x.rewritten else ""
        xs = f"(SELECT step, value AS x FROM {{db}}.points_number {final} WHERE {OF_RUN} AND key = {{x:String}})"
        return f"{rows} AS y INNER JOIN {xs} AS xs USING (step)"

    @property
    def _x_of_last(self) -> str:
        if self._x is not None:
            return ", argMax(x, step) AS x"
        return "" if self._axis == Axis.STEP else ", toUnixTimestamp64Milli(argMax(timestamp, step)) AS x"

    @property
    def _x_of_row(self) -> str:
        if self._x is not None:
            return ", x"
        return "" if self._axis == Axis.STEP else ", toUnixTimestamp64Milli(timestamp) AS x"

    def _x_values(self, table: pa.Table) -> NDArray[Any]:
        if self._x is not None:
            return _column(table, "x")
        if self._axis == Axis.STEP:
            return _column(table, "last")
        x = _column(table, "x")
        return (x if self._axis == Axis.TIMESTAMP else x - self._started_ms) / _MILLISECONDS

    def _bucket_points(self, table: pa.Table) -> Points:
        value, total, finite = (_column(table, name) for name in ("value", "total", "finite"))
        mean = np.where(finite > 0, total / np.maximum(finite, 1), value)
        return Points(
            x=self._x_values(table),
            step=_column(table, "last"),
            value=value,
            low=_column(table, "low"),
            high=_column(table, "high"),
            mean=mean,
            rows=_column(table, "rows").astype(np.int64),
            nans=_column(table, "nans").astype(np.int64),
        )

    def _row_points(self, table: pa.Table) -> Points:
        value = _column(table, "value")
        return Points(
            x=self._x_values(table),
            step=_column(table, "last"),
            value=value,
            low=value,
            high=value,
            mean=value,
            rows=np.ones(len(value), np.int64),
            nans=np.isnan(value).astype(np.int64),
        )


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    values: NDArray[Any] = table.column(name).to_numpy()
    return values


def _until(table: pa.Table, last: int) -> pa.Table:
    """Return the rows up to a step; those of a run that goes on may have come since the view was planned."""
    return table.slice(0, int(np.searchsorted(_column(table, "last"), last, "right")))


def _split(table: pa.Table, chosen: Sequence[int]) -> dict[int, pa.Table]:
    """Return the rows of each series; the table is sorted by series, and `chosen` ascends."""
    numbers = _column(table, "series")
    starts = np.searchsorted(numbers, chosen, "left")
    ends = np.searchsorted(numbers, chosen, "right")
    return {index: table.slice(start, end - start) for index, start, end in zip(chosen, starts, ends, strict=True)}


_EMPTY: Final = np.empty(0, np.float64)
_NO_STEPS: Final = np.empty(0, np.int64)
_NO_POINTS: Final = Points(_EMPTY, _NO_STEPS, _EMPTY, _EMPTY, _EMPTY, _EMPTY, _NO_STEPS, _NO_STEPS)
