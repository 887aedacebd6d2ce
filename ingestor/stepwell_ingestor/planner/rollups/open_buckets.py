"""The open buckets of a flush's series: those before it, from the ledgers of their runs, and those after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stepwell_ingestor.planner.columns import Int64s
from stepwell_ingestor.planner.flush_series import FlushSeries
from stepwell_ingestor.planner.rollups.rows import UNKNOWN, Rows
from stepwell_ingestor.planner.series_columns import Levels, OpenRows, read_open_rows
from stepwell_ingestor.planner.series_ledger import ALL_KNOWN, SeriesLedger
from stepwell_schemas.rules.identifiers import RunPath


class OpenBuckets:
    """The open buckets of series, by their numbers.

    Attributes:
        levels: the levels, ascending; they are numbered from 0.
        prior: int64[series], the last step before the flush, NEVER for a new series.
    """

    def __init__(
        self,
        series: FlushSeries,
        ledgers: Mapping[RunPath, SeriesLedger],
        levels: Sequence[int],
        prior: Int64s,
        known: Levels,
    ) -> None:
        self.levels, self.prior = levels, prior
        self._series, self._ledgers = series, ledgers
        self._before, self._known = known, known.copy()
        self._changed: list[list[tuple[Int64s, Rows]]] = [[] for _ in levels]

    def rows(self, level: int, numbers: Int64s) -> Rows:
        """Return the rows before the flush; their `bucket` is that of `prior`, UNKNOWN for unknown ones."""
        order = None if (numbers[1:] > numbers[:-1]).all() else np.argsort(numbers)
        ordered = numbers if order is None else numbers[order]
        of_runs = list(self._series.by_run(ordered))
        found = read_open_rows(
            [self._ledgers[path].layers() for path, _ in of_runs],
            self._series.ids[ordered],
            np.array([places.stop - places.start for _, places in of_runs]),
            level,
            self.prior[ordered] >> self.levels[level],
            self._before[ordered],
        )
        if order is None:
            return found
        rows = np.empty_like(found)
        rows[order] = found
        return rows

    def keep(self, level: int, numbers: Int64s, rows: Rows) -> None:
        """Replace the rows of a level."""
        self._changed[level].append((numbers, rows))

    def begin(self, numbers: Int64s) -> None:
        """Mark all levels of new series as known: their buckets have no other points than those kept."""
        self._known[numbers] = ALL_KNOWN

    def forget(self, numbers: Int64s) -> None:
        """Mark all levels of series as unknown."""
        self._known[numbers] = 0

    def replace(self, numbers: Int64s, rows: Rows) -> None:
        """Replace the rows of all levels: [series, level]."""
        bits = np.zeros(len(numbers), np.uint8)
        for level in range(len(self.levels)):
            of_level = rows[:, level]
            bits |= (of_level["bucket"] != UNKNOWN).astype(np.uint8) << np.uint8(level)
            # A row without points needs no memory: the ledger has none for this bucket.
            has_points = of_level["count"] > 0
            if has_points.any():
                self.keep(level, numbers[has_points], of_level[has_points])
        self._known[numbers] = bits

    def after(self) -> tuple[Levels, dict[RunPath, dict[int, OpenRows]]]:
        """Return the known levels of each series after the flush, and by run and level, the rows that have changed."""
        by_run: dict[RunPath, dict[int, OpenRows]] = {path: {} for path, _ in self._series.runs}
        for level, changed in enumerate(self._changed):
            if not changed:
                continue
            numbers, rows = changed[0] if len(changed) == 1 else map(np.concatenate, zip(*changed, strict=True))
            if not (numbers[1:] > numbers[:-1]).all():
                order = np.argsort(numbers)
                numbers, rows = numbers[order], rows[order]
            ids = self._series.ids[numbers]
            for path, places in self._series.by_run(numbers):
                by_run[path][level] = OpenRows(ids[places], rows[places])
        return self._known, by_run
