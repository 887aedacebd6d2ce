"""Number the series that a flush has points of, so that everything about them is computed by columns.

A part of the flush is a block of an event: k keys of the same n rows. An *entry* is a key of a part. Entries are sorted
by series once, and all else follows from this order. A series has a number, ascending by run and by its id in the run's
ledger (see `series_ledger`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_ingestor.planner.arrow import PATH_FIELDS
from stepwell_ingestor.planner.columns import Columns
from stepwell_ingestor.planner.names import Names
from stepwell_ingestor.planner.series_columns import Int64s, Levels, Marks, OpenRows, Structs, read_totals
from stepwell_ingestor.planner.series_ledger import SeriesLedger
from stepwell_schemas.rollups.arrays import run_starts
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

_KEY_BITS: Final = 32

Int32s = NDArray[np.int32]


class Group(NamedTuple):
    """The series of a kind of a writer."""

    path: RunPath
    kind: Kind
    writer: str


class KnownSeries(NamedTuple):
    """The series of a flush before it: their totals, True for those that are known, and their known rollup levels."""

    totals: Structs
    there: Marks
    levels: Levels


@dataclass(frozen=True)
class FlushSeries:
    """The parts of a flush, and its series by number.

    Attributes:
        parts: the parts, in the order of events.
        widths: int64[parts], the number of keys of each. rows: int64[parts], the number of rows of each.
        order: int64[entries], the entries sorted by series, those of a series in the order of parts.
        starts: int64[series], where the entries of each series begin in `order`.
        groups: kind and writer of the series, by number.
        of_group: int64[series], the number of each series' group.
        ids: int64[series], the id of each in its run's ledger.
        runs: the runs, each with the numbers of its series, which are consecutive.
    """

    parts: Sequence[Columns]
    widths: Int64s
    rows: Int64s
    order: Int64s
    starts: Int64s
    groups: Sequence[Group]
    of_group: Int64s
    ids: Int64s
    runs: Sequence[tuple[RunPath, slice]]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def part_of(self) -> Int64s:
        """int64[entries], the part of each entry."""
        return np.repeat(np.arange(len(self.parts)), self.widths)

    @cached_property
    def first_entries(self) -> Int64s:
        """int64[parts], the first entry of each part."""
        return np.cumsum(self.widths) - self.widths

    @cached_property
    def numbers(self) -> Int64s:
        """int64[entries], the series of each entry."""
        numbers = np.empty(len(self.order), np.int64)
        numbers[self.order] = np.repeat(np.arange(len(self)), np.diff(self.starts, append=len(self.order)))
        return numbers

    @cached_property
    def appearance(self) -> Int64s:
        """The numbers of the series in the order in which the log has them first.

        It does not depend on the order in which this ingestor has met them in earlier flushes.
        """
        return np.argsort(self.order[self.starts], kind="stable") if len(self) else self.starts

    @cached_property
    def _keys(self) -> tuple[Names, Int32s]:
        """The names of keys, and the code of each series' key among them."""
        first = self.order[self.starts]
        of_runs = np.repeat(np.arange(len(self.runs)), [numbers.stop - numbers.start for _, numbers in self.runs])
        _, chosen, codes = np.unique(
            of_runs << _KEY_BITS | (self.ids & (1 << _KEY_BITS) - 1), return_index=True, return_inverse=True
        )
        entries = first[chosen]
        parts = self.part_of[entries]
        places = entries - self.first_entries[parts]
        names = Names()
        of_chosen = names.codes(
            self.parts[part].keys[place] for part, place in zip(parts.tolist(), places.tolist(), strict=True)
        )
        return names, of_chosen[codes]

    @cached_property
    def is_number(self) -> Marks:
        """bool[series], True for series of numbers."""
        return np.array([group.kind is Kind.NUMBER for group in self.groups], np.bool_)[self.of_group]

    def key_column(self, series: Int64s, times: Int64s | int = 1) -> pa.DictionaryArray:
        """Build the column of the keys of some series, each repeated the given number of times."""
        names, codes = self._keys
        return names.column(np.repeat(codes[series], times))

    def columns(self, series: Int64s) -> dict[str, pa.DictionaryArray]:
        """Build the columns that name some series: run, key, kind and writer."""
        of_group = self.of_group[series]
        return {
            **{name: _named((getattr(group.path, name) for group in self.groups), of_group) for name in PATH_FIELDS},
            "key": self.key_column(series),
            "kind": _named((str(group.kind) for group in self.groups), of_group),
            "writer": _named((group.writer for group in self.groups), of_group),
        }

    def name(self, series: int) -> tuple[RunPath, str, str]:
        """Return run, writer and key of a series."""
        names, codes = self._keys
        group = self.groups[self.of_group[series]]
        return group.path, group.writer, names.name(int(codes[series]))

    def known(self, ledgers: Mapping[RunPath, SeriesLedger]) -> KnownSeries:
        """Return the series before the flush."""
        counts = np.array([numbers.stop - numbers.start for _, numbers in self.runs])
        return KnownSeries(*read_totals([ledgers[path].layers() for path, _ in self.runs], self.ids, counts))

    def keep(
        self,
        ledgers: Mapping[RunPath, SeriesLedger],
        after: Structs,
        levels: Levels,
        opened: Mapping[RunPath, Mapping[int, OpenRows]],
    ) -> None:
        """Write the totals after the flush, the known levels and the rows of open buckets into the runs' ledgers."""
        for path, numbers in self.runs:
            ledgers[path].write(self.ids[numbers], after[numbers], levels[numbers], opened.get(path, {}))

    def by_run(self, series: Int64s) -> Iterator[tuple[RunPath, slice]]:
        """Yield, for each run, the part of an ascending sequence of series that is of the run."""
        if len(self.runs) == 1:
            yield self.runs[0][0], slice(0, len(series))
            return
        cuts = np.searchsorted(series, [numbers.stop for _, numbers in self.runs]).tolist()
        start = 0
        for (path, _), end in zip(self.runs, cuts, strict=True):
            if end > start:
                yield path, slice(start, end)
            start = end


def _named(names: Iterator[str], codes: Int64s) -> pa.DictionaryArray:
    dictionary = Names()
    return dictionary.column(dictionary.codes(names)[codes])


def number_series(parts: Sequence[Columns]) -> FlushSeries:
    """Number the series of a flush's parts."""
    runs: dict[RunPath, int] = {}
    found: dict[tuple[int, int], Group] = {}
    of_parts = []
    for part in parts:
        group = runs.setdefault(part.path, len(runs)), part.group
        if group not in found:
            found[group] = Group(part.path, part.kind, part.writer)
        of_parts.append(group)
    ranks = {group: rank for rank, group in enumerate(sorted(found))}
    widths = np.array([len(part.keys) for part in parts], np.int64)
    of_entries = np.repeat(np.array([ranks[group] for group in of_parts], np.int64), widths)
    keys = np.concatenate([part.numbers for part in parts]) if parts else np.empty(0, np.int64)
    combined = of_entries << _KEY_BITS | keys
    order = np.argsort(combined, kind="stable")
    ordered = combined[order]
    starts = run_starts(ordered) if len(ordered) else order
    ordered = ordered[starts]
    of_group = ordered >> _KEY_BITS
    in_run = np.array([group for _, group in sorted(found)], np.int64)
    ends = np.searchsorted(np.array([run for run, _ in sorted(found)], np.int64)[of_group], range(1, len(runs) + 1))
    return FlushSeries(
        parts,
        widths,
        np.array([len(part.steps) for part in parts], np.int64),
        order,
        starts,
        [found[group] for group in sorted(found)],
        of_group,
        in_run[of_group] | ordered & (1 << _KEY_BITS) - 1 if len(ordered) else ordered,
        [(path, slice(start, end)) for path, start, end in zip(runs, [0, *ends.tolist()], ends.tolist(), strict=False)],
    )


NO_SERIES: Final = number_series([])
"""The series of a flush without points."""
