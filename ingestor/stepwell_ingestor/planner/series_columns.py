"""Columns of the series of a run, and the functions that read them for the runs of a flush together, and merge them.

Reading run by run would cost some calls of numpy for each, however few series it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.rollups.rows import ROW, UNKNOWN
from stepwell_ingestor.planner.totals import TOTALS
from stepwell_schemas.rules.steps import NO_STEP

Int64s = NDArray[np.int64]
Structs = NDArray[np.void]
Marks = NDArray[np.bool_]
Levels = NDArray[np.uint8]

SERIES_BYTES: Final = 8 + TOTALS.itemsize + 1
"""Memory of a series without open buckets: its id, its totals, and the byte of known levels."""

_ROW_BYTES: Final = 8 + ROW.itemsize
# A run with more series than this, for each one that is looked up, is searched by itself.
_MANY: Final = 16
_RUN_BITS: Final = 32


class OpenRows(NamedTuple):
    """Rows of the open buckets of a level: the ids of their series, ascending, and the rows."""

    ids: Int64s
    rows: Structs


class SeriesColumns(NamedTuple):
    """Series by ascending id; `known` has the levels whose open bucket is known, and `opened` the rows of those.

    A known bucket without a row has no points yet.
    """

    ids: Int64s
    totals: Structs
    known: Levels
    opened: dict[int, OpenRows]

    @property
    def open_bytes(self) -> int:
        """The memory of the open buckets."""
        return _ROW_BYTES * sum([len(level.ids) for level in self.opened.values()])

    @property
    def bytes(self) -> int:
        """The memory of all columns."""
        return SERIES_BYTES * len(self.ids) + self.open_bytes


NO_COLUMNS: Final = SeriesColumns(np.empty(0, np.int64), np.empty(0, TOTALS), np.empty(0, np.uint8), {})
_NO_ROWS: Final = OpenRows(np.empty(0, np.int64), np.empty(0, ROW))
_NOWHERE: Final = np.empty(0, np.int64)

Layers = Sequence[SeriesColumns]
"""The columns of a run, and the changes over them in turn."""


def read_totals(runs: Sequence[Layers], ids: Int64s, counts: Int64s) -> tuple[Structs, Marks, Levels]:
    """Return the totals of series, NO_TOTALS for new ones, True for those that are known, and their known levels.

    Args:
        runs: the layers of each run.
        ids: the ids of the series, run by run; those of a run ascend without repetition.
        counts: the number of each run's ids.
    """
    totals, known, there = _new_totals(len(ids)), np.zeros(len(ids), np.uint8), np.zeros(len(ids), np.bool_)
    for layer in zip_longest(*runs, fillvalue=NO_COLUMNS):
        mine, at = _find([columns.ids for columns in layer], ids, counts)
        if len(mine):
            totals[mine] = _joined([columns.totals for columns in layer], at)
            known[mine] = _joined([columns.known for columns in layer], at)
            there[mine] = True
    return totals, there, known


def read_open_rows(
    runs: Sequence[Layers], ids: Int64s, counts: Int64s, level: int, buckets: Int64s, known: Levels
) -> Structs:
    """Return the rows of the open buckets of a level; `bucket` is UNKNOWN for unknown ones.

    Args:
        runs, ids, counts: as in `read_totals`.
        level: the number of the level, from 0.
        buckets: the bucket of each series' last step.
        known: the known levels of each series.
    """
    rows = np.zeros(len(ids), ROW)
    for layer in zip_longest(*runs, fillvalue=NO_COLUMNS):
        opened = [columns.opened.get(level, _NO_ROWS) for columns in layer]
        mine, at = _find([of_level.ids for of_level in opened], ids, counts)
        if len(mine):
            rows[mine] = _joined([of_level.rows for of_level in opened], at)
    is_known = (known >> level & 1).astype(np.bool_)
    # A row of an earlier bucket stays until the next one has points.
    stale = ~is_known | (rows["bucket"] != buckets)
    if stale.any():
        rows[stale] = np.zeros((), ROW)
        rows["bucket"][stale] = np.where(is_known, buckets, UNKNOWN)[stale]
    return rows


def _new_totals(count: int) -> Structs:
    totals = np.zeros(count, TOTALS)
    totals["last_step"] = NO_STEP
    return totals


class _Places(NamedTuple):
    """Places in columns that are joined run by run; `within`: for runs that were searched alone, those in their own."""

    joined: Int64s | None
    within: dict[int, Int64s]


def _find(own: Sequence[Int64s], ids: Int64s, counts: Int64s) -> tuple[Int64s, _Places]:
    """Return which of the ids of runs their own columns have, and the places of these."""
    lengths = np.fromiter(map(len, own), np.int64, len(own))
    if not lengths.any():
        return _NOWHERE, _Places(_NOWHERE, {})
    within = {}
    for run in np.flatnonzero(lengths > _MANY * counts).tolist() if len(own) > 1 else ():
        start = int(counts[:run].sum())
        _, within[run] = find_places(own[run], ids[start : start + int(counts[run])])
    if within:
        own = [column if run not in within else column[within[run]] for run, column in enumerate(own)]
        lengths = np.fromiter(map(len, own), np.int64, len(own))
    joined = own[0] if len(own) == 1 else np.concatenate(own)
    if len(joined) == len(ids) and (lengths == counts).all() and (joined == ids).all():
        return np.arange(len(ids)), _Places(None, within)
    if len(own) > 1:
        # By rank: an id has 64 bits, which leave none for the number of the run.
        _, ranks = np.unique(np.concatenate((joined, ids)), return_inverse=True)
        runs = np.arange(len(own)) << _RUN_BITS
        joined, ids = (
            np.repeat(runs, lengths) | ranks[: len(joined)],
            np.repeat(runs, counts) | ranks[len(joined) :],
        )
    mine, at = find_places(joined, ids)
    return mine, _Places(at, within)


def _joined(columns: Sequence[NDArray[Any]], at: _Places) -> NDArray[Any]:
    """Return the values at some places of the columns of runs."""
    if at.within:
        columns = [column[at.within[run]] if run in at.within else column for run, column in enumerate(columns)]
    joined = columns[0] if len(columns) == 1 else np.concatenate(columns)
    return joined if at.joined is None else joined[at.joined]


def find_places(own: Int64s, ids: Int64s) -> tuple[Int64s, Int64s]:
    """Return which of some ids a sorted column has, and their places in it."""
    if not len(own):
        return _NOWHERE, _NOWHERE
    at = np.searchsorted(own, ids)
    at[at == len(own)] = 0
    mine = np.flatnonzero(own[at] == ids)
    return mine, at[mine]


def merge_columns(below: SeriesColumns, above: SeriesColumns) -> SeriesColumns:
    """Return columns with the changes of others; those below are changed if they have all series of the others."""
    ids, (totals, known) = _merged_rows(below.ids, above.ids, (below.totals, above.totals), (below.known, above.known))
    return SeriesColumns(ids, totals, known, _merged_open(below.opened, above.opened))


def _merged_open(below: Mapping[int, OpenRows], above: Mapping[int, OpenRows]) -> dict[int, OpenRows]:
    opened = dict(below)
    for level, rows in above.items():
        mine = opened.get(level, _NO_ROWS)
        merged, (values,) = _merged_rows(mine.ids, rows.ids, (mine.rows, rows.rows))
        opened[level] = OpenRows(merged, values)
    return opened


def _merged_rows(
    below: Int64s, above: Int64s, *columns: tuple[NDArray[Any], NDArray[Any]]
) -> tuple[Int64s, list[NDArray[Any]]]:
    """Return the ids of both, and each column with the values above where both have some.

    The columns below are changed in place if they have all ids, so that the cost does not depend on their length.
    """
    if not len(below):
        # Copies: a part of a flush's arrays would keep all of them in memory.
        return above.copy(), [mine.copy() for _, mine in columns]
    if len(above) == len(below) and (above == below).all():
        for lower, mine in columns:
            lower[:] = mine
        return below, [lower for lower, _ in columns]
    at = np.searchsorted(below, above)
    new = below[np.minimum(at, len(below) - 1)] != above
    merged = [lower for lower, _ in columns]
    ids = below
    if new.any():
        ids = np.insert(below, at[new], above[new])
        merged = [np.insert(lower, at[new], mine[new]) for lower, mine in columns]
        at += np.cumsum(new) - new
    for column, (_, mine) in zip(merged, columns, strict=True):
        column[at] = mine
    return ids, merged
