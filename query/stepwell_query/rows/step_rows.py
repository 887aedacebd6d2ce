"""Rows by step, made of values by key: what `history` and `scan` answer. Pure, and columnar: no loop over values.

A row is all that a run logged at one step. It has `_step`, `_timestamp` (seconds since the epoch, of the row's
latest value), `_runtime` (seconds since the run began), and a value for each key that was logged there. Where one
step holds a key with two kinds, the value logged later is the row's. `row_tables` and `row_json` write rows down.
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

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Beyond this many steps for a value, sorting costs less than a mark for each step.
_STEPS_A_VALUE: Final = 8
_CELLS_A_SLOT: Final = 8
_UINT16: Final = 2**16


@dataclass(frozen=True, slots=True)
class Values:
    """n values of one kind: `series` int64[n] indexes into the request's series.

    `time` is int64[n] milliseconds since the epoch; `version` uint64[n] grows with the order of logging, and is there
    where a key has two kinds. `exact` is the decimal text of integers that float64 can't hold, empty for others; only
    numbers have it. `filled` says which values were not logged but interpolated; they have no time.
    """

    series: Int64s
    step: Int64s
    time: Int64s
    value: pa.Array
    version: NDArray[np.uint64] | None = None
    exact: pa.Array | None = None
    filled: Bools | None = None

    def picked(self, chosen: Bools | Int64s | slice) -> Self:
        """Return the values that a mask, indexes or a range of them name."""

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
    def joined(cls, parts: Sequence[Self]) -> Self:
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
    """R rows: `steps` int64[R], ascending; of each table, `places` int64[n] says which row each value belongs to.

    A kind's values may come in several tables, none of them empty; a series has one value in a row. `series` says what
    the tables' indexes mean; `started_ms` is the zero of `_runtime`.
    """

    series: Sequence[SeriesInfo]
    tables: Sequence[Values]
    started_ms: int
    steps: Int64s
    places: Sequence[Int64s]

    @classmethod
    def of(cls, series: Sequence[SeriesInfo], tables: Sequence[Values], started_ms: int) -> Self:
        """Return the rows that values make."""
        there = [table for table in tables if len(table.step)]
        steps, places = _rows_of([table.step for table in there])
        return cls(series, there, started_ms, steps, places)

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def values(self) -> int:
        """How many values the rows hold."""
        return sum(len(table.step) for table in self.tables)

    @property
    def times(self) -> Int64s:
        """int64[R]: when each row was logged, in milliseconds since the epoch; its latest value counts."""
        times = np.zeros(len(self.steps), np.int64)
        for table, places in zip(self.tables, self.places, strict=True):
            np.maximum.at(times, places, table.time)
        return times

    def by_kind(self) -> dict[Kind, list[tuple[Values, Int64s]]]:
        """Return the tables of each kind with the rows of their values."""
        found: dict[Kind, list[tuple[Values, Int64s]]] = {}
        for table, places in zip(self.tables, self.places, strict=True):
            found.setdefault(self.kind_of(table), []).append((table, places))
        return found

    def kind_of(self, table: Values) -> Kind:
        """Return the kind of a table's values."""
        return self.series[int(table.series[0])].kind

    def with_all_keys(self) -> Self:
        """Return the rows that have a value for every key of `series`."""
        places = places_of([info.key for info in self.series])
        keys = np.zeros(len(self.steps), np.int64)
        for rows in self.places:
            keys += np.bincount(rows, minlength=len(keys))
        # A key of two kinds at one step was counted twice.
        keys -= np.bincount(self._repeated(places), minlength=len(keys))
        complete = keys == len(set(places.tolist()))
        if complete.all():
            return self
        chosen = [complete[rows] for rows in self.places]
        tables = [table.picked(mask) for table, mask in zip(self.tables, chosen, strict=True)]
        return type(self).of(self.series, tables, self.started_ms)

    def _repeated(self, places: Int64s) -> Int64s:
        """Return the row of each value whose key has another value, of another kind, before it in the row."""
        twice = np.bincount(places, minlength=1) > 1
        if not self.tables or not twice.any():
            return np.empty(0, np.int64)
        keys = [places[table.series] for table in self.tables]
        cells = [(rows * len(places) + key)[twice[key]] for rows, key in zip(self.places, keys, strict=True)]
        distinct, counts = np.unique(np.concatenate(cells), return_counts=True)
        return np.repeat(distinct // len(places), counts - 1)

    def joined(self) -> Self:
        """Return the rows with one table for each kind."""
        kinds = self.by_kind().values()
        return replace(
            self,
            tables=[Values.joined([table for table, _ in tables]) for tables in kinds],
            places=[np.concatenate([places for _, places in tables]) for tables in kinds],
        )

    def parts(self, most_rows: int) -> Iterator[Self]:
        """Yield the rows by at most `most_rows`."""
        if len(self.steps) <= most_rows:
            yield self
            return
        starts = range(0, len(self.steps), most_rows)
        whole = self.joined()
        cut = [_cut(*table, most_rows, len(starts)) for table in zip(whole.tables, whole.places, strict=True)]
        for number, first in enumerate(starts):
            there = [(table, places, ends[number : number + 2].tolist()) for table, places, ends in cut]
            ranges = [(table, places, slice(start, end)) for table, places, (start, end) in there if start < end]
            yield replace(
                self,
                tables=[table.picked(part) for table, _, part in ranges],
                steps=self.steps[first : first + most_rows],
                places=[places[part] - first for _, places, part in ranges],
            )


def _cut(table: Values, places: Int64s, most_rows: int, parts: int) -> tuple[Values, Int64s, Int64s]:
    """Return values and their rows, sorted by parts of `most_rows` rows, with the start of each part and the end."""
    part = places // most_rows
    ends = np.concatenate(([0], np.cumsum(np.bincount(part, minlength=parts))))
    # Whole numbers this small are sorted by their digits, which takes a fraction of the time.
    order = np.argsort(part.astype(np.uint16) if parts <= _UINT16 else part, kind="stable")
    return table.picked(order), places[order], ends


def places_of(names: Sequence[str]) -> Int64s:
    """Return int64[names]: the place of each name among the distinct names, in the order they come up."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(name, len(first)) for name in names], np.int64)


def order_of(slots: Int64s) -> Int64s:
    """Return int64[n]: the places of n slots in ascending order; no slot comes twice."""
    size = int(slots.max(initial=-1)) + 1
    if size > _CELLS_A_SLOT * len(slots):
        return np.argsort(slots)
    matrix = np.full(size, -1, np.int64)
    matrix[slots] = np.arange(len(slots))
    return matrix if size == len(slots) else matrix[matrix >= 0]


def _rows_of(steps: Sequence[Int64s]) -> tuple[Int64s, list[Int64s]]:
    """Return the distinct steps, ascending, and for each array of steps (none is empty) their places among them."""
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
