"""Rows as Arrow tables: wide, with a column per series, or long, with a row per value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.rows.step_rows import RESERVED, RUNTIME, STEP, TIMESTAMP, WRITER, Int64s, StepRows, Values
from stepwell_schemas.rules.kinds import Kind

MILLISECONDS: Final = 1_000.0

# A piece costs as much as some hundred values one by one.
_VALUES_A_PIECE: Final = 256

_NAMES: Final = pa.dictionary(pa.int32(), pa.string())

LONG_SCHEMA: Final = pa.schema(
    [
        ("key", _NAMES),
        ("kind", pa.dictionary(pa.int8(), pa.string())),
        ("step", pa.int64()),
        ("timestamp", pa.timestamp("ms", "UTC")),
        ("value", pa.float64()),
        ("text", pa.string()),
    ]
)
"""Columns of a long table: `value` has numbers, and bools as 1 and 0. `text` has strings, the JSON of all other kinds,
and the digits of integers that float64 can't represent."""


def long_schema(*, with_writers: bool) -> pa.Schema:
    """Return the schema of long tables; with several writers, the last column has the writer's name."""
    return LONG_SCHEMA.append(pa.field("writer", _NAMES)) if with_writers else LONG_SCHEMA


def wide_schema(
    series: Sequence[SeriesInfo], *, exact: bool = False, filled: bool = False, with_writers: bool = False
) -> pa.Schema:
    """Return the schema of `wide_table`: three columns of the row, then one for each series.

    `with_writers` adds a fourth column of the row, its writer. The metadata of a series' column has its `key` and
    `kind`. With `exact`, further columns `KEY (exact)` have the digits of integers that float64 can't represent, null
    for other values. With `filled`, further columns `KEY (interpolated)` are true for interpolated values.
    """
    fixed = [pa.field(STEP, pa.int64()), pa.field(TIMESTAMP, pa.float64()), pa.field(RUNTIME, pa.float64())]
    names = column_names(series, RESERVED | {WRITER} if with_writers else RESERVED)
    fixed += [pa.field(WRITER, pa.string())] if with_writers else []
    fields = [_field(name, info, arrow_type(info.kind)) for name, info in zip(names, series, strict=True)]
    taken = {*(field.name for field in fixed), *names}
    if exact:
        fields += [_field(_free(f"{info.key} (exact)", taken), info, pa.string()) for info in _numbers(series)]
    if filled:
        fields += [
            _field(_free(f"{name} (interpolated)", taken), info, pa.bool_())
            for name, info in zip(names, series, strict=True)
        ]
    return pa.schema([*fixed, *fields])


def wide_table(rows: StepRows, schema: pa.Schema, *, exact: bool = False, filled: bool = False) -> pa.Table:
    """Return the rows as a table with the columns of `wide_schema`."""
    count = len(rows)
    columns: dict[int, pa.Array] = {}
    digits: dict[int, pa.Array] = {}
    marks: dict[int, pa.Array] = {}
    for kind, tables in rows.by_kind().items():
        grid = _Grid(tables, len(rows.series), count)
        columns |= grid.columns([table.value for table, _ in tables])
        if exact and kind is Kind.NUMBER:
            digits |= grid.columns([exact_digits(table) for table, _ in tables])
        if filled:
            marks |= grid.columns([pa.array(table.filled) for table, _ in tables])
    times = rows.times
    fixed = [pa.array(rows.steps), pa.array(times / MILLISECONDS), pa.array((times - rows.started_ms) / MILLISECONDS)]
    fixed += [] if rows.writers is None else [rows.writers]
    series = list(enumerate(rows.series))
    logged = [columns.get(index, pa.nulls(count, arrow_type(info.kind))) for index, info in series]
    exacts = [digits.get(index, pa.nulls(count, pa.string())) for index, info in series if exact and _is_number(info)]
    said = [pc.fill_null(marks.get(index, pa.nulls(count, pa.bool_())), False) for index, _ in series if filled]
    return pa.Table.from_arrays([*fixed, *logged, *exacts, *said], schema=schema)


class LongTables:
    """Builds long tables of the values of some series; all tables share the dictionaries of keys, kinds and writers."""

    def __init__(self, series: Sequence[SeriesInfo], *, with_writers: bool = False) -> None:
        keys = dict.fromkeys(info.key for info in series)
        key_indexes = {key: index for index, key in enumerate(keys)}
        kinds = dict.fromkeys(str(info.kind) for info in series)
        self._kinds = pa.array(list(kinds), pa.string())
        self._kind_of = np.array([list(kinds).index(str(info.kind)) for info in series], np.int8)
        self._key_of = np.array([key_indexes[info.key] for info in series], np.int32)
        self._keys = pa.array(list(keys), pa.string())
        self._schema = long_schema(with_writers=with_writers)
        writers = list(dict.fromkeys(info.writer for info in series))
        self._writers = pa.array(writers, pa.string()) if with_writers else None
        self._writer_of = np.array([writers.index(info.writer) for info in series], np.int32)

    def table(self, tables: Sequence[Values]) -> pa.Table:
        """Return values as a table of `long_schema` in their order; each record batch has values of one kind."""
        return pa.Table.from_batches([self._batch(table) for table in tables], self._schema)

    def _batch(self, table: Values) -> pa.RecordBatch:
        count = len(table.step)
        number, text = pa.nulls(count, pa.float64()), pa.nulls(count, pa.string())
        if pa.types.is_string(table.value.type):
            text = table.value
        else:
            number = table.value.cast(pa.float64())
            text = text if table.exact is None else exact_digits(table)
        series = _only_series(table.series)

        def names(number_of: NDArray[Any], texts: pa.Array) -> pa.Array:
            numbers = number_of[table.series] if series is None else np.full(count, number_of[series])
            return pa.DictionaryArray.from_arrays(pa.array(numbers), texts)

        columns = [
            names(self._key_of, self._keys),
            names(self._kind_of, self._kinds),
            pa.array(table.step),
            pa.array(table.time).cast(LONG_SCHEMA.field("timestamp").type),
            number,
            text,
        ]
        if self._writers is not None:
            columns.append(names(self._writer_of, self._writers))
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _only_series(series: Int64s) -> int | None:
    """Return the series that all values are of, as in most blocks; None if there are several, or no values."""
    return int(series[0]) if len(series) and series.min() == series.max() else None


def in_seconds(table: pa.Table) -> pa.Table:
    """Return a long table with its timestamps in seconds since the epoch, float64."""
    index = LONG_SCHEMA.get_field_index("timestamp")
    seconds = pc.divide(table.column(index).cast(pa.int64()), pa.scalar(MILLISECONDS))
    return table.set_column(index, "timestamp", seconds)


def column_names(series: Sequence[SeriesInfo], reserved: frozenset[str] = RESERVED) -> list[str]:
    """Return a column name for each series: its key, or `KEY (KIND)` for the second kind of a key.

    A name that is already used by another key gets as many `'` appended as make it unique.
    """
    taken = set(reserved)
    keys = {info.key for info in series} - reserved
    names = []
    for info in series:
        free = info.key not in taken
        names.append(_free(info.key, taken) if free else _free(f"{info.key} ({info.kind})", taken | keys))
        taken.add(names[-1])
    return names


def arrow_type(kind: Kind) -> pa.DataType:
    """Return the column type of a kind; `other` and media are JSON text."""
    return {Kind.NUMBER: pa.float64(), Kind.BOOL: pa.bool_()}.get(kind, pa.string())


class _Grid:
    """Positions of the values of one kind in columns of `count` cells: one column for each series that has values."""

    def __init__(self, tables: Sequence[tuple[Values, Int64s]], series: int, count: int) -> None:
        counts = np.zeros(series, np.int64)
        for table, _ in tables:
            counts += np.bincount(table.series, minlength=series)
        self._present = np.flatnonzero(counts)
        self._full = counts[self._present] == count
        start = (np.cumsum(counts > 0) - 1) * count
        self._slots = [_Slots(start, table.series, places) for table, places in tables]
        self._count = count
        self._cells = count * len(self._present)

    def columns(self, values: Sequence[pa.Array]) -> dict[int, pa.Array]:
        """Return a column for each series, null where it has no value; `values` has an array for each table."""
        if pa.types.is_string(values[0].type):
            merged = _set([(array, slots.all()) for array, slots in zip(values, self._slots, strict=True)], self._cells)
            cut = [merged[start : start + self._count] for start in range(0, self._cells, self._count)]
            return dict(zip(self._present.tolist(), cut, strict=True))
        plain = [array.to_numpy(zero_copy_only=False) for array in values]
        cells = np.zeros(self._cells, plain[0].dtype)
        for array, slots in zip(plain, self._slots, strict=True):
            slots.assign(cells, array)
        return dict(zip(self._present.tolist(), self._columns(cells), strict=True))

    def _columns(self, cells: NDArray[Any]) -> Iterator[pa.Array]:
        there = None
        if not self._full.all():
            there = np.zeros(self._cells, bool)
            for slots in self._slots:
                slots.assign(there, np.ones(slots.count, bool))
        for column, full in enumerate(self._full.tolist()):
            cut = slice(column * self._count, (column + 1) * self._count)
            yield pa.array(cells[cut], mask=None if full or there is None else ~there[cut])


class _Slots:
    """The cells of a table's values, in the order of the values.

    A table comes in the order of series and steps, so that most of its values follow one another in the cells. They are
    copied as pieces then, instead of one by one.

    Args:
        start: the first cell of each series. series, places: the series and the row of each value.
    """

    def __init__(self, start: Int64s, series: Int64s, places: Int64s) -> None:
        self.count = len(series)
        self._start, self._series, self._places = start, series, places
        ends = np.flatnonzero((series[1:] != series[:-1]) | (places[1:] - places[:-1] != 1)) + 1
        firsts = np.concatenate(([0], ends))
        self._pieces: list[tuple[int, int, int]] | None = None
        if len(firsts) * _VALUES_A_PIECE <= self.count:
            cells = start[series[firsts]] + places[firsts]
            lengths = np.diff(firsts, append=self.count)
            self._pieces = list(zip(cells.tolist(), firsts.tolist(), lengths.tolist(), strict=True))

    def all(self) -> Int64s:
        """Return the cell of each value."""
        cells: Int64s = self._start[self._series] + self._places
        return cells

    def assign(self, cells: NDArray[Any], values: NDArray[Any]) -> None:
        """Put the values into their cells."""
        if self._pieces is None:
            cells[self.all()] = values
            return
        for cell, first, length in self._pieces:
            cells[cell : cell + length] = values[first : first + length]


def exact_digits(table: Values) -> pa.Array:
    """Return the digits of integers that float64 can't represent, null for other numbers."""
    if table.exact is None:  # `RowReader` reads the digits only where it has met any.
        return pa.nulls(len(table.step), pa.string())
    return pc.if_else(pc.equal(table.exact, ""), pa.scalar(None, pa.string()), table.exact)


def _set(texts: Sequence[tuple[pa.Array, Int64s]], count: int) -> pa.Array:
    """Return a column of `count` cells with texts at their positions, and null elsewhere."""
    there = [(column, places) for column, places in texts if column.null_count < len(column)]
    if not there:
        return pa.nulls(count, pa.string())
    sources = np.full(count, -1, np.int64)
    start = 0
    for column, places in there:
        sources[places] = np.arange(start, start + len(column))
        start += len(column)
    merged = pa.concat_arrays([column for column, _ in there])
    return merged.take(pa.array(sources, mask=sources < 0))


def _field(name: str, info: SeriesInfo, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, metadata={"key": info.key, "kind": str(info.kind)})


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _numbers(series: Sequence[SeriesInfo]) -> list[SeriesInfo]:
    return [info for info in series if _is_number(info)]


def _is_number(info: SeriesInfo) -> bool:
    return info.kind is Kind.NUMBER
