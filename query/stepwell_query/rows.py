"""Rows by step, made of values by key: what `history` and `scan` answer. Pure, and columnar up to the last moment.

A row is all that a run logged at one step. It has `_step`, `_timestamp` (seconds since the epoch, of the row's
latest value), `_runtime` (seconds since the run began), and a value for each key that was logged there. Where one
step holds a key with two kinds, the value logged later is the row's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog import SeriesInfo
from stepwell_query.encode import NotFinite, exact_integer, json_floats, json_text
from stepwell_schemas.kinds import Kind

STEP: Final = "_step"
TIMESTAMP: Final = "_timestamp"
RUNTIME: Final = "_runtime"
RESERVED: Final = frozenset({STEP, TIMESTAMP, RUNTIME})
_MILLISECONDS: Final = 1_000.0


@dataclass(frozen=True, slots=True)
class Values:
    """n values of one table: `series` int64[n] indexes into the request's series, `value` in the table's own type.

    `time` is int64[n] milliseconds since the epoch; `version` uint64[n] grows with the order of logging. `exact` is
    the decimal text of integers that float64 can't hold, empty for others; only numbers have it.
    """

    series: NDArray[np.int64]
    step: NDArray[np.int64]
    time: NDArray[np.int64]
    version: NDArray[np.uint64]
    value: pa.ChunkedArray
    exact: pa.ChunkedArray | None = None

    def at(self, steps: NDArray[np.int64]) -> Values:
        """Return the values at some steps."""
        chosen = np.isin(self.step, steps)
        mask = pa.array(chosen)
        return Values(
            self.series[chosen],
            self.step[chosen],
            self.time[chosen],
            self.version[chosen],
            self.value.filter(mask),
            None if self.exact is None else self.exact.filter(mask),
        )


@dataclass(frozen=True, slots=True)
class StepRows:
    """Every value of some steps, table by table; `series` says what their indexes mean."""

    series: Sequence[SeriesInfo]
    tables: Sequence[Values]
    started_ms: int

    def as_json(self, odd: NotFinite = NotFinite.TEXT) -> list[dict[str, Any]]:
        """Return the rows as JSON takes them, by step; keys in the order of `series`."""
        columns = [
            np.concatenate([getattr(table, name) for table in self.tables] or [np.empty(0, np.int64)])
            for name in ("series", "step", "time", "version")
        ]
        series, step, time, version = columns
        if not len(step):
            return []
        # Of two kinds of one key at one step, the later version comes later, and a dict keeps the later value.
        place = self._places()[series]
        order = np.lexsort((version, place, step))
        values = _picked([value for table in self.tables for value in _json_values(table, self.series, odd)], order)
        names = [f"{info.key} ({info.kind})" if info.key in RESERVED else info.key for info in self.series]
        keys = _picked(names, series[order])
        step, time = step[order], time[order]
        starts = np.flatnonzero(np.concatenate(([True], step[1:] != step[:-1])))
        ends = [*starts[1:].tolist(), len(step)]
        times = np.maximum.reduceat(time, starts)
        runtimes = ((times - self.started_ms) / _MILLISECONDS).tolist()
        return [
            {
                STEP: at,
                TIMESTAMP: seconds,
                RUNTIME: runtime,
                **dict(zip(keys[start:end], values[start:end], strict=True)),
            }
            for at, seconds, runtime, start, end in zip(
                step[starts].tolist(), (times / _MILLISECONDS).tolist(), runtimes, starts.tolist(), ends, strict=True
            )
        ]

    def with_all_keys(self) -> StepRows:
        """Return the rows that have a value for every key of `series`."""
        places = self._places()
        pairs = [np.stack([table.step, places[table.series]]) for table in self.tables]
        if not pairs:
            return self
        distinct = np.unique(np.concatenate(pairs, axis=1), axis=1)
        steps, keys = np.unique(distinct[0], return_counts=True)
        complete = steps[keys == len(set(places.tolist()))]
        return StepRows(self.series, [table.at(complete) for table in self.tables], self.started_ms)

    def as_table(self, *, exact: bool = False) -> pa.Table:
        """Return the rows as a table with the columns of `table_schema`."""
        steps = np.unique(np.concatenate([table.step for table in self.tables] or [np.empty(0, np.int64)]))
        times = np.zeros(len(steps), np.int64)
        columns: dict[int, pa.Array] = {}
        digits: dict[int, pa.Array] = {}
        for table in self.tables:
            rows = np.searchsorted(steps, table.step)
            np.maximum.at(times, rows, table.time)
            # The later version of a value at the same step comes later, and takes the cell.
            order = np.lexsort((table.version, table.series))
            numbers = table.series[order]
            for index in np.unique(numbers).tolist():
                chosen = order[np.searchsorted(numbers, index) : np.searchsorted(numbers, index, "right")]
                columns[index] = _scattered(table.value, chosen, rows[chosen], len(steps))
                if exact and table.exact is not None:
                    texts = _scattered(table.exact, chosen, rows[chosen], len(steps))
                    digits[index] = pa.compute.if_else(pa.compute.equal(texts, ""), None, texts)
        fixed = [
            pa.array(steps),
            pa.array(times / _MILLISECONDS),
            pa.array((times - self.started_ms) / _MILLISECONDS),
        ]
        logged = [
            columns[index] if index in columns else pa.nulls(len(steps), arrow_type(info.kind))
            for index, info in enumerate(self.series)
        ]
        exacts = [
            digits.get(index, pa.nulls(len(steps), pa.string()))
            for index, info in enumerate(self.series)
            if exact and info.kind is Kind.NUMBER
        ]
        return pa.table([*fixed, *logged, *exacts], schema=table_schema(self.series, exact=exact))

    def _places(self) -> NDArray[np.int64]:
        """Return int64[series]: the order of a series' key among the keys."""
        first: dict[str, int] = {}
        return np.array([first.setdefault(info.key, len(first)) for info in self.series], np.int64)


def table_schema(series: Sequence[SeriesInfo], *, exact: bool = False) -> pa.Schema:
    """Return the schema of `StepRows.as_table`: three columns of the row, then one for each series.

    The metadata of a series' column say its `key` and `kind`. With `exact`, each number has one more column behind them
    all, named `KEY (exact)`, with the digits of integers that float64 can't hold, null elsewhere.
    """
    fixed = [pa.field(STEP, pa.int64()), pa.field(TIMESTAMP, pa.float64()), pa.field(RUNTIME, pa.float64())]
    names = column_names(series)
    logged = [_field(name, info, arrow_type(info.kind)) for name, info in zip(names, series, strict=True)]
    numbers = [info for info in series if exact and info.kind is Kind.NUMBER]
    taken = {*RESERVED, *names}
    exacts = [_field(_free(f"{info.key} (exact)", taken), info, pa.string()) for info in numbers]
    return pa.schema([*fixed, *logged, *exacts])


def _field(name: str, info: SeriesInfo, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, metadata={"key": info.key, "kind": str(info.kind)})


def column_names(series: Sequence[SeriesInfo]) -> list[str]:
    """Return a column name for each series: its key, with the kind in brackets for a key's second kind.

    A name that another key has already is followed by as many `'` as make it a new one.
    """
    taken = set(RESERVED)
    keys = {info.key for info in series} - RESERVED
    names = []
    for info in series:
        free = info.key not in taken
        names.append(_free(info.key, taken) if free else _free(f"{info.key} ({info.kind})", taken | keys))
        taken.add(names[-1])
    return names


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def arrow_type(kind: Kind) -> pa.DataType:
    """Return the type of a column that holds values of a kind; `other` and media are JSON text."""
    return {Kind.NUMBER: pa.float64(), Kind.BOOL: pa.bool_()}.get(kind, pa.string())


def _picked(values: list[Any], order: NDArray[np.int64]) -> list[Any]:
    array = np.empty(len(values), object)
    array[:] = values
    picked: list[Any] = array[order].tolist()
    return picked


def _json_values(table: Values, series: Sequence[SeriesInfo], odd: NotFinite) -> list[Any]:
    if pa.types.is_float64(table.value.type):
        numbers = json_floats(table.value.to_numpy(), odd)
        return _with_exact(numbers if isinstance(numbers, list) else numbers.tolist(), table.exact)
    values: list[Any] = table.value.to_pylist()
    if pa.types.is_string(table.value.type):
        plain = np.array([info.kind is Kind.STRING for info in series])
        for index in np.flatnonzero(~plain[table.series]).tolist():
            values[index] = json_text(values[index])
    return values


def _with_exact(values: list[Any], exact: pa.ChunkedArray | None) -> list[Any]:
    if exact is None:
        return values
    lengths = pa.compute.binary_length(exact).to_numpy()
    for index in np.flatnonzero(lengths).tolist():
        values[index] = exact_integer(exact[index].as_py())
    return values


def _scattered(value: pa.ChunkedArray, chosen: NDArray[np.int64], rows: NDArray[np.int64], count: int) -> pa.Array:
    """Return an array of `count` cells that has the chosen values at `rows`, and null elsewhere."""
    source = np.full(count, -1, np.int64)
    source[rows] = chosen
    return value.combine_chunks().take(pa.array(source, mask=source < 0))
