"""Reads of a run's values from the tables of their kinds, each series and step once."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.conditions import OF_RUN, run_parameters
from stepwell_query.catalog.models import Selection, SeriesInfo
from stepwell_query.query_limits import QueryLimits
from stepwell_query.rows.step_rows import Values
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import NO_WRITER, POINT_TABLES
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import MEDIA_KINDS, Kind
from stepwell_schemas.rules.streams import DEFAULT
from stepwell_schemas.rules.writers import UNNAMED

_NO_SERIES: Final = -1

# Dictionary-encoded keys take a quarter of the time that plain strings do.
_KEYS: Final = "output_format_arrow_low_cardinality_as_dictionary = 1"
# Reading in table order, a single thread reads fewer rows beyond the LIMIT than several threads do.
_ORDERED: Final = "max_threads = 1"

Columns = Mapping[str, str]
"""SQL expressions by column name."""


class TooManyValuesError(Exception):
    """More values, or bytes of values, than one read may hold; handled within the service."""


class LastRow(NamedTuple):
    """The position of a value; `writer` is empty unless several writers share keys."""

    key: str
    writer: str
    step: int


@dataclass(frozen=True, slots=True)
class ValuePage:
    """Values of one kind by key and step; `last_row` is the last value's position, None on the last page."""

    tables: Sequence[Values]
    last_row: LastRow | None


class ValueReader:
    """Reads values of some series of one run; `Values.series` has indexes into `series`.

    `shared`: several of the selected writers logged the same key.

    `digits` requests the digits of integers that float64 can't represent. They are read only after the first such
    integer was seen: few runs have any, and reading the empty texts of other numbers takes as long as the numbers.
    """

    def __init__(self, store: Store, run: RunPath, selection: Selection, limits: QueryLimits, *, digits: bool) -> None:
        self.selection = selection
        self.limits = limits
        self.series: Sequence[SeriesInfo] = selection.series
        self._store = store
        self._run = run
        self.shared = bool(selection.shared)
        self._of_series, self._parameters = _series_condition(selection)
        self._parameters |= run_parameters(run)
        self._wants_digits = digits
        self._met_digits = False

    def part(self, series: Sequence[SeriesInfo]) -> ValueReader:
        """Return a reader of some of the series, with the same indexes."""
        selection = Selection(list(series), [], named=True, others=[], of=self.selection.of)
        part = ValueReader(self._store, self._run, selection, self.limits, digits=self._wants_digits)
        part.series = self.series
        return part

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of the series in order of declaration, so that answers are deterministic."""
        present = {info.kind for info in self.selection.series}
        return [kind for kind in Kind if kind in present]

    def query(self, sql: str, **parameters: Any) -> pa.Table:
        """Run a statement about these series. Raises: StoreError."""
        self.limits.mark.check()
        return self._store.query(f"{sql} {self.limits}", {**self._parameters, **parameters})

    def union_of_tables(self, columns: str, condition: str) -> str:
        """Return a subquery of `columns` over all tables that have values of the series."""
        tables = (self._table_query(columns, kind, condition) for kind in self.kinds)
        return "(" + " UNION ALL ".join(tables) + ")"

    def values(
        self, condition: str, *, most: int | None = None, most_bytes: int | None = None, **parameters: Any
    ) -> list[Values]:
        """Return the values at steps that meet a condition, within limits of number and bytes for each kind.

        Raises:
            TooManyValuesError: when a limit is exceeded.
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """

        def sql(kind: Kind, columns: Columns) -> str:
            return self._table_query(f"key, {_named(columns)}", kind, condition, " FINAL")

        def too_many(count: int, size: int) -> bool:
            return (most is not None and count > most) or (most_bytes is not None and size > most_bytes)

        blocks = []
        for kind in self.kinds:
            batches, complete = self._read(kind, sql, parameters, self.limits, too_many)
            if not complete:
                raise TooManyValuesError
            blocks += self._values(kind, batches)
        return blocks

    def read_page(self, kind: Kind, condition: str, most: int, most_bytes: int, **parameters: Any) -> ValuePage:
        """Return the first values of a kind that meet a condition, by key and step: at most `most`, about `most_bytes`.

        Raises:
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """

        def sql(kind: Kind, columns: Columns) -> str:
            rows = self._table_query(f"key, {_named(columns)}", kind, condition, " FINAL")
            return f"{rows} ORDER BY key, writer, step LIMIT {most:d}"

        limits = self.limits.with_settings(_ORDERED)
        batches, complete = self._read(kind, sql, parameters, limits, lambda _, size: size > most_bytes)
        last_row = None
        if not complete or sum(batch.num_rows for batch in batches) == most:
            batch = batches[-1]
            writer = batch.column("name")[-1].as_py() if self.shared else ""
            last_row = LastRow(batch.column("key")[-1].as_py(), writer, batch.column("step")[-1].as_py())
        return ValuePage(self._values(kind, batches), last_row)

    def values_around(self, steps: Sequence[int], kinds: Collection[Kind]) -> list[Values]:
        """Return the values of some kinds next to `steps` (ascending, at least one).

        For each series, these are the first and the last value in each interval [step, next step), before the first
        step, and from the last step; a value may occur twice.

        Raises:
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """

        def sql(kind: Kind, columns: Columns) -> str:
            columns_tuple = f"({', '.join(columns.values())})"
            rows = self._table_query(f"key, step, {columns_tuple} AS whole", kind, "1", " FINAL")
            between = "roundDown(step, {steps:Array(Int64)}), step < {steps:Array(Int64)}[1]"
            parts = ", ".join(f"one.{index} AS {name}" for index, name in enumerate(columns, 1))
            return f"""SELECT key, {parts} FROM
                (SELECT key, arrayJoin([argMin(whole, step), argMax(whole, step)]) AS one FROM ({rows})
                GROUP BY key, {between})"""

        present = [kind for kind in self.kinds if kind in kinds]
        read = [(kind, self._read(kind, sql, {"steps": steps}, self.limits)[0]) for kind in present]
        return [values for kind, batches in read for values in self._values(kind, batches)]

    def _table_query(self, columns: str, kind: Kind, condition: str, final: str = "") -> str:
        # All media kinds share one table. The kind is a constant and not user input.
        media = f" AND kind = '{kind}'" if kind in MEDIA_KINDS else ""
        series = f"{OF_RUN}{self._of_series}{media}"
        return f"SELECT {columns} FROM {{db}}.{POINT_TABLES[kind]}{final} WHERE {series} AND {condition}"

    def _columns(self, kind: Kind) -> Columns:
        columns = {"step": "step", "time": "toUnixTimestamp64Milli(timestamp)", "value": "value"}
        if len({info.key for info in self.series}) < len({(info.key, info.kind) for info in self.series}):
            columns["version"] = "version"
        if self.shared:
            columns["name"] = "writer"
        if kind is Kind.NUMBER and self._wants_digits:
            columns |= {"exact": "exact"} if self._met_digits else {"digits": "notEmpty(exact)"}
        return columns

    def _read(
        self,
        kind: Kind,
        sql: Callable[[Kind, Columns], str],
        parameters: Mapping[str, Any],
        limits: QueryLimits,
        enough: Callable[[int, int], bool] = lambda _count, _size: False,
    ) -> tuple[list[pa.RecordBatch], bool]:
        """Return a statement's blocks up to the limit that `enough` checks, and True if these are all blocks."""
        self.limits.mark.check()
        blocks: list[pa.RecordBatch] = []
        count = size = 0
        statement = f"{sql(kind, self._columns(kind))} {limits.with_settings(_KEYS)}"
        answer = cast("Generator[pa.RecordBatch]", self._store.stream(statement, {**self._parameters, **parameters}))
        with closing(answer) as batches:
            for batch in batches:
                if "digits" in batch.schema.names and batch.column("digits").to_numpy().any():
                    self._met_digits = True
                    break
                blocks.append(batch)
                count, size = count + batch.num_rows, size + batch.nbytes
                if enough(count, size):
                    return blocks, False
            else:
                return blocks, True
        return self._read(kind, sql, parameters, limits, enough)

    def _values(self, kind: Kind, batches: Sequence[pa.RecordBatch]) -> list[Values]:
        series = [(index, info) for index, info in enumerate(self.series) if info.kind is kind]
        if self.shared:
            by_writer = {(info.key, info.writer): index for index, info in series}
            values = (_to_values(batch, _numbers_by_writer(batch, by_writer)) for batch in batches)
        else:
            numbers = {info.key: index for index, info in series}
            values = (_to_values(batch, _series_numbers(batch.column("key"), numbers)) for batch in batches)
        return [table for table in values if len(table.step)]


def _series_condition(selection: Selection) -> tuple[str, dict[str, Any]]:
    """Return the condition that selects the series in every table, and its parameters."""
    keys, writers = selection.keys, selection.writers
    condition, parameters = "", dict[str, Any]()
    if selection.named or selection.stream != DEFAULT:
        condition, parameters = " AND key IN {keys:Array(String)}", {"keys": keys}
    # There are few keys of other streams; the run's own keys may be many thousands.
    elif selection.others:
        condition, parameters = " AND key NOT IN {others:Array(String)}", {"others": selection.others}
    if writers == [UNNAMED] or not writers:
        return f"{condition} AND {NO_WRITER}", parameters
    mixed = selection.of.is_primary and len(writers) > 1
    if mixed or not set(keys).isdisjoint(selection.others):
        parameters["series"] = list(dict.fromkeys((info.key, info.writer) for info in selection.series))
        return " AND (key, writer) IN {series:Array(Tuple(String, String))}", {"keys": keys, **parameters}
    if len(writers) == 1:
        return f"{condition} AND writer = {{writer:String}}", {"writer": writers[0], **parameters}
    if selection.of.every:
        return condition, parameters
    return f"{condition} AND writer IN {{writers:Array(String)}}", {"writers": writers, **parameters}


def _named(columns: Columns) -> str:
    return ", ".join(f"{value} AS {name}" for name, value in columns.items())


def _series_numbers(keys: pa.DictionaryArray, numbers: Mapping[str, int]) -> NDArray[np.int64]:
    """Return int64[n]: the index of each key's series, -1 for a key without a series."""
    indices = keys.indices.to_numpy()
    if len(indices) and indices.min() == (only := indices.max()):
        return np.full(len(indices), numbers.get(keys.dictionary[int(only)].as_py(), _NO_SERIES), np.int64)
    # The dictionary may have all keys of the table, while a block uses only a few.
    used = np.flatnonzero(np.bincount(indices))
    known = np.full(len(keys.dictionary), _NO_SERIES, np.int64)
    known[used] = [numbers.get(key, _NO_SERIES) for key in keys.dictionary.take(pa.array(used)).to_pylist()]
    numbered: NDArray[np.int64] = known[indices]
    return numbered


def _numbers_by_writer(batch: pa.RecordBatch, numbers: Mapping[tuple[str, str], int]) -> NDArray[np.int64]:
    """Return int64[n]: the index of each value's series by key and writer, -1 if there is none."""
    keys, writers = batch.column("key"), batch.column("name")
    count = max(len(writers.dictionary), 1)
    pairs = keys.indices.to_numpy().astype(np.int64) * count + writers.indices.to_numpy()
    used, places = np.unique(pairs, return_inverse=True)
    key_names = keys.dictionary.take(pa.array(used // count)).to_pylist()
    writer_names = writers.dictionary.take(pa.array(used % count)).to_pylist()
    known = [numbers.get(pair, _NO_SERIES) for pair in zip(key_names, writer_names, strict=True)]
    numbered: NDArray[np.int64] = np.array(known, np.int64)[places]
    return numbered


def _to_values(batch: pa.RecordBatch, series: NDArray[np.int64]) -> Values:
    """Return the values of a block without those of keys that were added after the series were listed."""
    names = batch.schema.names
    values = Values(
        series=series,
        step=batch.column("step").to_numpy(),
        time=batch.column("time").to_numpy(),
        value=batch.column("value"),
        version=batch.column("version").to_numpy() if "version" in names else None,
        exact=batch.column("exact") if "exact" in names else None,
    )
    return values if (series != _NO_SERIES).all() else values.take(series != _NO_SERIES)
