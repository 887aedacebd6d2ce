"""Reads a run's values out of the tables of their kinds, each series and step once."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.conditions import OF_RUN, run_parameters
from stepwell_query.catalog.models import Selection, SeriesInfo
from stepwell_query.query_limits import Limits
from stepwell_query.rows.step_rows import Values
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import MEDIA_KINDS, Kind
from stepwell_schemas.rules.streams import DEFAULT

_TABLES: Final = {
    Kind.NUMBER: "points_number",
    Kind.STRING: "points_string",
    Kind.BOOL: "points_bool",
    Kind.OTHER: "points_other",
} | dict.fromkeys(MEDIA_KINDS, "points_media")
_NO_SERIES: Final = -1

# As numbers of a dictionary, keys cost a quarter of what their texts do.
_KEYS: Final = "output_format_arrow_low_cardinality_as_dictionary = 1"
# In the order of the table, one thread reads less beyond a LIMIT than several do.
_ORDERED: Final = "max_threads = 1"

Columns = Mapping[str, str]
"""Expressions by name."""


class TooManyValuesError(Exception):
    """There are more values, or bytes of them, than may be read at once; never leaves the service."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Values of one kind, by key and step; `behind` is the place of the last one, None when there are no more."""

    tables: Sequence[Values]
    behind: tuple[str, int] | None


class Source:
    """Some series of one run, numbered by their place in `series`.

    `digits` says that the digits of integers that float64 can't hold are wanted. They are read once one has been met:
    few runs have any, and the texts of all others, empty as they are, cost as much as the numbers.
    """

    def __init__(self, store: Store, run: RunPath, selection: Selection, limits: Limits, *, digits: bool) -> None:
        self.selection = selection
        self.limits = limits
        self.series: Sequence[SeriesInfo] = selection.series
        self._store = store
        self._run = run
        self._wants_digits = digits
        self._met_digits = False

    def part(self, series: Sequence[SeriesInfo]) -> Source:
        """Return the source of some of the series, with the same numbers."""
        selection = Selection(list(series), [], named=True, others=[])
        part = Source(self._store, self._run, selection, self.limits, digits=self._wants_digits)
        part.series = self.series
        return part

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of the series in their order of declaration, so that answers don't depend on chance."""
        present = {info.kind for info in self.selection.series}
        return [kind for kind in Kind if kind in present]

    def query(self, sql: str, **parameters: Any) -> pa.Table:
        """Return the answer of a statement over this source. Raises: StoreError."""
        self.limits.check()
        return self._store.query(f"{sql} {self.limits}", self._parameters(parameters))

    def of_tables(self, columns: str, condition: str) -> str:
        """Return a subquery of `columns` over every table that holds values of the series."""
        tables = (self._of_table(columns, kind, condition) for kind in self.kinds)
        return "(" + " UNION ALL ".join(tables) + ")"

    def values(
        self, condition: str, *, most: int | None = None, most_bytes: int | None = None, **parameters: Any
    ) -> list[Values]:
        """Return the values under a condition on their steps, at most so many and so many bytes of memory of each kind.

        Raises:
            TooManyValuesError: when there are more.
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """

        def sql(kind: Kind, columns: Columns) -> str:
            return self._of_table(f"key, {_named(columns)}", kind, condition, " FINAL")

        def too_many(count: int, size: int) -> bool:
            return (most is not None and count > most) or (most_bytes is not None and size > most_bytes)

        found = []
        for kind in self.kinds:
            batches, whole = self._read(kind, sql, parameters, self.limits, too_many)
            if not whole:
                raise TooManyValuesError
            found += self._values(kind, batches)
        return found

    def piece(self, kind: Kind, condition: str, most: int, most_bytes: int, **parameters: Any) -> Piece:
        """Return the first values of a kind under a condition, by key and step: up to `most`, or some `most_bytes`.

        Raises:
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """

        def sql(kind: Kind, columns: Columns) -> str:
            rows = self._of_table(f"key, {_named(columns)}", kind, condition, " FINAL")
            return f"{rows} ORDER BY key, step LIMIT {most:d}"

        limits = self.limits.with_settings(_ORDERED)
        batches, whole = self._read(kind, sql, parameters, limits, lambda _, size: size > most_bytes)
        behind = None
        if not whole or sum(batch.num_rows for batch in batches) == most:
            behind = batches[-1].column("key")[-1].as_py(), batches[-1].column("step")[-1].as_py()
        return Piece(self._values(kind, batches), behind)

    def around(self, steps: Sequence[int], kinds: Collection[Kind]) -> list[Values]:
        """Return the values of some kinds next to `steps` (ascending, one at least).

        Of each series the first and the last between each two steps that follow one another (the earlier one included),
        before them all and behind them all; a value may come twice.

        Raises:
            StoreError: when ClickHouse does not answer, or a limit is reached.
        """

        def sql(kind: Kind, columns: Columns) -> str:
            whole = f"({', '.join(columns.values())})"
            rows = self._of_table(f"key, step, {whole} AS whole", kind, "1", " FINAL")
            between = "roundDown(step, {steps:Array(Int64)}), step < {steps:Array(Int64)}[1]"
            parts = ", ".join(f"one.{place} AS {name}" for place, name in enumerate(columns, 1))
            return f"""SELECT key, {parts} FROM
                (SELECT key, arrayJoin([argMin(whole, step), argMax(whole, step)]) AS one FROM ({rows})
                GROUP BY key, {between})"""

        asked = [kind for kind in self.kinds if kind in kinds]
        read = [(kind, self._read(kind, sql, {"steps": steps}, self.limits)[0]) for kind in asked]
        return [values for kind, batches in read for values in self._values(kind, batches)]

    @property
    def _by_key(self) -> bool:
        return self.selection.named or self.selection.stream != DEFAULT

    def _parameters(self, more: Mapping[str, Any]) -> dict[str, Any]:
        keys: dict[str, Any] = {}
        if self._by_key:
            keys = {"keys": self.selection.keys}
        elif self.selection.others:
            keys = {"others": self.selection.others}
        return {**run_parameters(self._run), **keys, **more}

    def _of_table(self, columns: str, kind: Kind, condition: str, final: str = "") -> str:
        keys = " AND key IN {keys:Array(String)}" if self._by_key else ""
        # The others are few; the run's own keys may be many thousands.
        if self.selection.others and not self._by_key:
            keys = " AND key NOT IN {others:Array(String)}"
        # The kind is one of our own names, and its table's only: the media share one.
        media = f" AND kind = '{kind}'" if kind in MEDIA_KINDS else ""
        return f"SELECT {columns} FROM {{db}}.{_TABLES[kind]}{final} WHERE {OF_RUN}{keys}{media} AND {condition}"

    def _columns(self, kind: Kind) -> Columns:
        columns = {"step": "step", "time": "toUnixTimestamp64Milli(timestamp)", "value": "value"}
        if len({info.key for info in self.series}) < len(self.series):
            columns["version"] = "version"
        if kind is Kind.NUMBER and self._wants_digits:
            columns |= {"exact": "exact"} if self._met_digits else {"digits": "notEmpty(exact)"}
        return columns

    def _read(
        self,
        kind: Kind,
        sql: Callable[[Kind, Columns], str],
        parameters: Mapping[str, Any],
        limits: Limits,
        enough: Callable[[int, int], bool] = lambda _count, _size: False,
    ) -> tuple[list[pa.RecordBatch], bool]:
        """Return a statement's blocks, until their count and bytes are `enough`, and whether they are all there are."""
        self.limits.check()
        found: list[pa.RecordBatch] = []
        count = size = 0
        statement = f"{sql(kind, self._columns(kind))} {limits.with_settings(_KEYS)}"
        answer = cast("Generator[pa.RecordBatch]", self._store.stream(statement, self._parameters(parameters)))
        with closing(answer) as batches:
            for batch in batches:
                if "digits" in batch.schema.names and batch.column("digits").to_numpy().any():
                    self._met_digits = True
                    break
                found.append(batch)
                count, size = count + batch.num_rows, size + batch.nbytes
                if enough(count, size):
                    return found, False
            else:
                return found, True
        return self._read(kind, sql, parameters, limits, enough)

    def _values(self, kind: Kind, batches: Sequence[pa.RecordBatch]) -> list[Values]:
        numbers = {info.key: index for index, info in enumerate(self.series) if info.kind is kind}
        values = (_as_values(batch, numbers) for batch in batches)
        return [table for table in values if len(table.step)]


def _named(columns: Columns) -> str:
    return ", ".join(f"{value} AS {name}" for name, value in columns.items())


def _numbers_of(keys: pa.DictionaryArray, numbers: Mapping[str, int]) -> NDArray[np.int64]:
    """Return int64[n]: the number of each key's series, -1 for a key that is none of them."""
    indices = keys.indices.to_numpy()
    # The dictionary may have any of the table's keys, a block only a few.
    used = np.flatnonzero(np.bincount(indices))
    known = np.full(len(keys.dictionary), _NO_SERIES, np.int64)
    known[used] = [numbers.get(key, _NO_SERIES) for key in keys.dictionary.take(pa.array(used)).to_pylist()]
    numbered: NDArray[np.int64] = known[indices]
    return numbered


def _as_values(batch: pa.RecordBatch, numbers: Mapping[str, int]) -> Values:
    """Return the values of a block; those of keys that came into being since the series were listed are left out."""
    series = _numbers_of(batch.column("key"), numbers)
    names = batch.schema.names
    values = Values(
        series=series,
        step=batch.column("step").to_numpy(),
        time=batch.column("time").to_numpy(),
        value=batch.column("value"),
        version=batch.column("version").to_numpy() if "version" in names else None,
        exact=batch.column("exact") if "exact" in names else None,
    )
    return values if (series != _NO_SERIES).all() else values.picked(series != _NO_SERIES)
