"""The series of a run between flushes, by columns: the totals of each, and the rollup rows of its open buckets.

A series has an id, the number of its kind and writer in the upper half and the number of its key in the lower one. All
columns are sorted by it. A flush reads and writes all its series together, so that a series costs no Python object: 170
bytes, and 120 more for each further rollup level that it has reached.

A fork has the changes of a flush in columns of its own, over those of the ledger that it was forked from, which it does
not change until `settle`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from stepwell_ingestor.planner.layers import Known, Layer, get_many
from stepwell_ingestor.planner.series_columns import (
    NO_COLUMNS,
    SERIES_BYTES,
    Int64s,
    Levels,
    Marks,
    OpenRows,
    SeriesColumns,
    Structs,
    merge_columns,
    read_totals,
)
from stepwell_ingestor.planner.totals import TOTALS, SeriesTotals

SeriesId = tuple[str, str, str]
"""A series within its run: its key, as stored, its kind, and its writer."""

ALL_KNOWN: Final = 255
"""The open buckets of all levels are known: a bit for each level, the lowest first."""

_KEY_BITS: Final = 32
_KEY_MASK: Final = (1 << _KEY_BITS) - 1
_SHARED_NUMBERS: Final = 2**17
# An entry of a dictionary; the string itself is counted where spellings are.
_KEY_BYTES: Final = 48
_GROUP_BYTES: Final = 500


class SeriesLedger(Mapping[SeriesId, SeriesTotals]):
    """The series of a run. As a mapping, which is slow, it has their totals.

    Attributes:
        bytes: the memory of the columns and names; `open_bytes`: the part of it used by open buckets. Those of a fork
            are of its changes.
    """

    __slots__ = ("_below", "_columns", "_groups", "_keys", "_parent")

    def __init__(self, parent: SeriesLedger | None = None) -> None:
        self._parent = parent
        # As of the fork, since the open buckets of the parent may be evicted in the meantime.
        self._below: tuple[SeriesColumns, ...] = () if parent is None else parent.layers()
        self._columns = NO_COLUMNS
        self._groups: Known[tuple[str, str], int] = {} if parent is None else Layer(parent._groups)
        self._keys: Known[str, int] = {} if parent is None else Layer(parent._keys)

    @classmethod
    def from_totals(cls, known: Mapping[SeriesId, SeriesTotals]) -> SeriesLedger:
        """Return a ledger of series whose open buckets are unknown."""
        ledger = cls()
        ids = [ledger.id_of(*series) for series in known]
        ledger.load(np.array(ids, np.int64), np.array([tuple(totals) for totals in known.values()], TOTALS))
        return ledger

    def group(self, kind: str, writer: str) -> int:
        """Return the upper half of the ids of a writer's series of a kind."""
        number = self._groups.get((kind, writer))
        if number is None:
            number = self._groups[kind, writer] = len(self._groups)
        return number << _KEY_BITS

    def key_numbers(self, keys: Sequence[str]) -> Int64s:
        """Return the lower halves of the ids of keys, as stored."""
        numbers = get_many(self._keys, keys)
        if None in numbers:
            numbers = [self._number(key) for key in keys]
        return np.array(numbers, np.int64)

    def id_of(self, key: str, kind: str, writer: str) -> int:
        """Return the id of a series."""
        return self.group(kind, writer) | self._number(key)

    def _number(self, key: str) -> int:
        number = self._keys.get(key)
        if number is None:
            number = self._keys[sys.intern(key)] = _shared(len(self._keys))
        return number

    def totals(self, ids: Int64s) -> tuple[Structs, Marks, Levels]:
        """Return the totals of series, NO_TOTALS for new ones, True for those that are known, and their known levels.

        Args:
            ids: ascending, without repetition.
        """
        return read_totals([self.layers()], ids, np.array([len(ids)]))

    def write(self, ids: Int64s, totals: Structs, known: Levels, opened: Mapping[int, OpenRows]) -> None:
        """Set the totals and known levels of series, and rows of open buckets by level; `ids` as in `totals`."""
        changes = SeriesColumns(ids, totals, known, dict(opened))
        self._columns = merge_columns(self._columns, changes) if len(self._columns.ids) else changes

    def load(self, ids: Int64s, totals: Structs) -> None:
        """Set the totals of series, given in any order, whose open buckets are unknown."""
        order = np.argsort(ids, kind="stable")
        self.write(ids[order], totals[order], np.zeros(len(ids), np.uint8), {})

    def fork(self) -> SeriesLedger:
        """Return a copy-on-write copy."""
        return SeriesLedger(self)

    def settle(self) -> tuple[int, int]:
        """Move the changes into the ledger it was forked from; return the bytes added, and those of open buckets."""
        below, mine = self._parent, self._columns
        assert below is not None  # noqa: S101 - only forks are settled
        before, names_bytes = below._columns, 0
        for names, size in ((self._groups, _GROUP_BYTES), (self._keys, _KEY_BYTES)):
            assert isinstance(names, Layer)  # noqa: S101 - those of a fork are layers
            if names.changed:
                known = _own_length(names.base)
                names.settle()
                names_bytes += size * (_own_length(names.base) - known)
        if self._below[-1] is not below._columns:
            # Evicted in the meantime: the buckets that this flush did not change are unknown.
            mine = mine._replace(known=np.zeros_like(mine.known), opened={})
        below._columns = merge_columns(below._columns, mine)
        self._columns, self._below = NO_COLUMNS, below.layers()
        opened = below._columns.open_bytes - before.open_bytes
        return names_bytes + SERIES_BYTES * (len(below._columns.ids) - len(before.ids)) + opened, opened

    def forget_open_buckets(self) -> None:
        """Drop the open buckets."""
        # Not in place: a flush may be reading them in a thread.
        self._columns = self._columns._replace(known=np.zeros_like(self._columns.known), opened={})

    @property
    def bytes(self) -> int:
        """The memory of the columns and names."""
        groups, keys = map(_own_length, (self._groups, self._keys))
        return self._columns.bytes + _GROUP_BYTES * groups + _KEY_BYTES * keys

    @property
    def open_bytes(self) -> int:
        """The part of the memory used by open buckets."""
        return self._columns.open_bytes

    def __getitem__(self, series: SeriesId) -> SeriesTotals:
        key, kind, writer = series
        group, number = self._groups[kind, writer], self._keys[key]
        totals, there, _ = self.totals(np.array([group << _KEY_BITS | number], np.int64))
        if not there[0]:
            raise KeyError(series)
        return SeriesTotals(*totals[0].item())

    def __iter__(self) -> Iterator[SeriesId]:
        groups, keys = list(self._groups), list(self._keys)
        for one in self._ids().tolist():
            yield keys[one & _KEY_MASK], *groups[one >> _KEY_BITS]

    def __len__(self) -> int:
        return len(self._ids())

    def __repr__(self) -> str:
        return f"SeriesLedger({dict(self)!r})"

    def _ids(self) -> Int64s:
        return np.unique(np.concatenate([columns.ids for columns in self.layers()]))

    def layers(self) -> tuple[SeriesColumns, ...]:
        """Return the columns of the ledgers that this one was forked from, and its own."""
        return (*self._below, self._columns)


def _own_length(names: Known[Any, int]) -> int:
    return len(names.changed if isinstance(names, Layer) else names)


_SHARED: Final[list[int]] = []


def _shared(number: int) -> int:
    """Return a number; small ones are the same object in all runs, which saves 32 bytes a key."""
    if number >= _SHARED_NUMBERS:
        return number
    while len(_SHARED) <= number:
        _SHARED.append(len(_SHARED))
    return _SHARED[number]
