"""Rows by step, built from values by key: the answers of `history` and `scan`. Columnar, without loops over values.

A row is all that a run logged at one step. It has `_step`, `_timestamp` (seconds since the epoch, of the row's
latest value), `_runtime` (seconds since the start of the run), and a value for each key that was logged at the step. If
a step has a key with two kinds, the row shows the value logged later. `format_arrow` and `format_json` encode rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.models import SeriesInfo
from stepwell_schemas.rules.kinds import Kind

STEP: Final = "_step"
TIMESTAMP: Final = "_timestamp"
RUNTIME: Final = "_runtime"
RESERVED: Final = frozenset({STEP, TIMESTAMP, RUNTIME})
WRITER: Final = "_writer"
"""The column of the writer, which only rows of several writers have."""

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Above this number of steps per value, sorting is cheaper than a flag for each step.
_STEPS_A_VALUE: Final = 8
_CELLS_A_SLOT: Final = 8
_UINT16: Final = 2**16


@dataclass(frozen=True, slots=True)
class Values:
    """n values of one kind: `series` int64[n] indexes into the request's series.

    `time` is int64[n] milliseconds since the epoch. `version` uint64[n] increases in the order of logging; it is there
    if a key has two kinds. `exact` is the decimal text of integers that float64 can't represent, empty for others, and
    present for numbers only. `filled` marks values that were interpolated and not logged; they have no time.
    """

    series: Int64s
    step: Int64s
    time: Int64s
    value: pa.Array
    version: NDArray[np.uint64] | None = None
    exact: pa.Array | None = None
    filled: Bools | None = None

    def take(self, chosen: Bools | Int64s | slice) -> Self:
        """Return the values that a mask, an array of indexes or a slice selects."""

        def of(column: pa.Array) -> pa.Array:
            if isinstance(chosen, slice):
                return column[chosen]
            array = pa.array(chosen)
            return column.filter(array) if array.type == pa.bool_() else column.take(array)

        return replace(
            self,
            series=self.series[chosen],
            step=self.step[chosen],
            time=self.time[chosen],
            value=of(self.value),
            version=None if self.version is None else self.version[chosen],
            exact=None if self.exact is None else of(self.exact),
            filled=None if self.filled is None else self.filled[chosen],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the values of several tables of one kind as one."""
        if len(parts) == 1:
            return parts[0]

        def of(columns: list[Any]) -> Any:
            if any(column is None for column in columns):
                return None
            return np.concatenate(columns) if isinstance(columns[0], np.ndarray) else pa.concat_arrays(columns)

        return cls(*(of([getattr(part, column.name) for part in parts]) for column in fields(cls)))


@dataclass(frozen=True, slots=True)
class StepRows:
    """R rows: `steps` int64[R], ascending; for each table, `row_indexes` int64[n] has the row of each value.

    The values of a kind may be in several tables, none of them empty; a series has one value per row. The tables index
    into `series`; `started_ms` is the origin of `_runtime`. `writers` has the writer of each row, null for rows with
    values of several; None if all rows are as of one writer.
    """

    series: Sequence[SeriesInfo]
    tables: Sequence[Values]
    started_ms: int
    steps: Int64s
    row_indexes: Sequence[Int64s]
    writers: pa.Array | None = None

    @classmethod
    def from_values(cls, series: Sequence[SeriesInfo], tables: Sequence[Values], started_ms: int) -> Self:
        """Build rows from tables of values."""
        there = [table for table in tables if len(table.step)]
        steps, places = _assign_rows([table.step for table in there])
        return cls(series, there, started_ms, steps, places)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def values(self) -> int:
        """The number of values in the rows."""
        return sum(len(table.step) for table in self.tables)

    @property
    def times(self) -> Int64s:
        """int64[R]: the time of each row's latest value, in milliseconds since the epoch."""
        times = np.zeros(len(self.steps), np.int64)
        for table, places in zip(self.tables, self.row_indexes, strict=True):
            np.maximum.at(times, places, table.time)
        return times

    def by_kind(self) -> dict[Kind, list[tuple[Values, Int64s]]]:
        """Return the tables of each kind with the row indexes of their values."""
        tables_by_kind: dict[Kind, list[tuple[Values, Int64s]]] = {}
        for table, places in zip(self.tables, self.row_indexes, strict=True):
            tables_by_kind.setdefault(self.table_kind(table), []).append((table, places))
        return tables_by_kind

    def table_kind(self, table: Values) -> Kind:
        """Return the kind of a table's values."""
        return self.series[int(table.series[0])].kind

    def with_all_keys(self) -> Self:
        """Return the rows that have a value for every key of `series`."""
        key_indexes = name_indexes([info.key for info in self.series])
        keys = np.zeros(len(self.steps), np.int64)
        for rows in self.row_indexes:
            keys += np.bincount(rows, minlength=len(keys))
        # A key with two kinds at one step was counted twice.
        keys -= np.bincount(self._repeated(key_indexes), minlength=len(keys))
        complete = keys == len(set(key_indexes.tolist()))
        if complete.all():
            return self
        place_of = np.cumsum(complete) - 1
        chosen = [(table, rows, complete[rows]) for table, rows in zip(self.tables, self.row_indexes, strict=True)]
        left = [(table.take(mask), place_of[rows[mask]]) for table, rows, mask in chosen if mask.any()]
        return replace(
            self,
            tables=[table for table, _ in left],
            steps=self.steps[complete],
            row_indexes=[rows for _, rows in left],
            writers=None if self.writers is None else self.writers.filter(pa.array(complete)),
        )

    def _repeated(self, key_indexes: Int64s) -> Int64s:
        """Return the row of each value whose key already has a value of another kind in that row."""
        twice = np.bincount(key_indexes, minlength=1) > 1
        if not self.tables or not twice.any():
            return np.empty(0, np.int64)
        keys = [key_indexes[table.series] for table in self.tables]
        cells = [(rows * len(key_indexes) + key)[twice[key]] for rows, key in zip(self.row_indexes, keys, strict=True)]
        distinct, counts = np.unique(np.concatenate(cells), return_counts=True)
        return np.repeat(distinct // len(key_indexes), counts - 1)

    def merge_tables(self) -> Self:
        """Return the same rows with one table per kind."""
        kinds = self.by_kind().values()
        return replace(
            self,
            tables=[Values.concatenate([table for table, _ in tables]) for tables in kinds],
            row_indexes=[np.concatenate([places for _, places in tables]) for tables in kinds],
        )

    def parts(self, most_rows: int) -> Iterator[Self]:
        """Yield the rows in parts of at most `most_rows` rows."""
        if len(self.steps) <= most_rows:
            yield self
            return
        starts = range(0, len(self.steps), most_rows)
        merged = self.merge_tables()
        cut = [_cut(*table, most_rows, len(starts)) for table in zip(merged.tables, merged.row_indexes, strict=True)]
        for number, first in enumerate(starts):
            there = [(table, places, ends[number : number + 2].tolist()) for table, places, ends in cut]
            ranges = [(table, places, slice(start, end)) for table, places, (start, end) in there if start < end]
            yield replace(
                self,
                tables=[table.take(part) for table, _, part in ranges],
                steps=self.steps[first : first + most_rows],
                row_indexes=[places[part] - first for _, places, part in ranges],
                writers=None if self.writers is None else self.writers[first : first + most_rows],
            )


def _cut(table: Values, places: Int64s, most_rows: int, parts: int) -> tuple[Values, Int64s, Int64s]:
    """Sort values by parts of `most_rows` rows; return them, their rows, and the start of each part with the end."""
    part = places // most_rows
    ends = np.concatenate(([0], np.cumsum(np.bincount(part, minlength=parts))))
    # numpy sorts 16-bit integers by radix sort, in a fraction of the time.
    order = np.argsort(part.astype(np.uint16) if parts <= _UINT16 else part, kind="stable")
    return table.take(order), places[order], ends


def name_indexes(names: Sequence[str]) -> Int64s:
    """Return int64[names]: the index of each name among the distinct names, in order of appearance."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(name, len(first)) for name in names], np.int64)


def slot_order(slots: Int64s) -> Int64s:
    """Return int64[n]: the permutation that sorts n distinct slots."""
    size = int(slots.max(initial=-1)) + 1
    if size > _CELLS_A_SLOT * len(slots):
        return np.argsort(slots)
    matrix = np.full(size, -1, np.int64)
    matrix[slots] = np.arange(len(slots))
    return matrix if size == len(slots) else matrix[matrix >= 0]


def _assign_rows(steps: Sequence[Int64s]) -> tuple[Int64s, list[Int64s]]:
    """Return the distinct steps, ascending, and for each array of steps (none is empty) their indexes among these."""
    if not steps:
        return np.empty(0, np.int64), []
    low, high = min(int(array.min()) for array in steps), max(int(array.max()) for array in steps)
    if high - low < _STEPS_A_VALUE * sum(map(len, steps)):
        seen = np.zeros(high - low + 1, bool)
        for array in steps:
            seen[array - low] = True
        place_of = np.cumsum(seen) - 1
        return np.flatnonzero(seen) + low, [place_of[array - low] for array in steps]
    distinct, places = np.unique(np.concatenate(steps), return_inverse=True)
    return distinct, np.split(places, np.cumsum([len(array) for array in steps])[:-1])
