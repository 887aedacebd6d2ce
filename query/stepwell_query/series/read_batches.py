"""Batching of reads into few statements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell_query.catalog.conditions import OF_PROJECT, one_of, one_of_parameter
from stepwell_query.series.edges import Edge, edge_condition, segment_condition
from stepwell_query.series.math.buckets import Int64s
from stepwell_query.series.read_plan import ReadKind, SeriesRead
from stepwell_query.series.segments import POINTS
from stepwell_schemas.clickhouse.tables import NO_WRITER
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.writers import UNNAMED

PORTION_ROWS: Final = 2_000_000
"""Approximate number of rows that one statement reads; a single series may exceed it."""

PORTION_CELLS: Final = 4_000_000
"""Limit of the cells of one statement, of which few may have a read if each run has other writers."""

_INDEX_OF: Final = "transform({0}, {{{1}:Array(String)}}, range(length({{{1}:Array(String)}})), 0)"


class ReadBatch:
    """The reads of one statement: its parameters, and the mapping of its rows to reads.

    `owners` has the index of each read in the request. Reads are ordered by run and key, as the tables are sorted. The
    statement returns a number for each row instead of two strings: its *cell*, which is the index of the run times the
    number of keys, plus the index of the key. For reads of several writers, it is that number times the number of
    writers, plus the index of the writer.

    Example: the reads 0: (run `b`, key `loss`), 1: (run `a`, key `loss`) and 2: (run `a`, key `acc`) give

        owners  [2, 1, 0]
        runs    [a, b]
        keys    [acc, loss]
        cells   a/acc = 0, a/loss = 1, b/acc = 2, b/loss = 3

    A row with cell 3 belongs to the batch's third read, which is read 0 of the request. Cell 2 belongs to no read.
    """

    def __init__(self, reads: Sequence[SeriesRead], indexes: Sequence[int]) -> None:
        self.owners = np.array(indexes)
        self.reads = [reads[index] for index in indexes]
        self._runs = sorted({read.run.run_id for read in self.reads}, key=str.encode)
        self._keys = sorted({read.info.key for read in self.reads}, key=str.encode)
        self._writers = sorted({read.info.writer for read in self.reads}, key=str.encode)
        self._local = np.full(len(self._runs) * len(self._keys) * len(self._writers), -1)
        runs, keys, writers = _numbers(self._runs), _numbers(self._keys), _numbers(self._writers)
        cells = [
            (runs[item.run.run_id] * len(keys) + keys[item.info.key]) * len(writers) + writers[item.info.writer]
            for item in self.reads
        ]
        self._local[cells] = np.arange(len(indexes))
        self._segments = [read.segments for read in self.reads]
        self._complete = len(self._local) == len(self.reads)
        flags = {read.info.rewritten for read in self.reads}
        self._alike = self._complete and len(flags) == 1 and len(set(self._segments)) == 1
        self._bounds = self._all_bounds()

    @property
    def cell(self) -> str:
        """SQL of a row's cell. It uses parameters only; ClickHouse evaluates it once per distinct name in a block."""
        runs = _INDEX_OF.format("run_id", "runs") if len(self._runs) > 1 else "0"
        keys = _INDEX_OF.format("key", "keys") if len(self._keys) > 1 else "0"
        number = keys if runs == "0" else f"{runs} * {len(self._keys):d} + {keys}"
        if self.several_writers:
            number = f"({number}) * {len(self._writers):d} + {_INDEX_OF.format('writer', 'writers')}"
        return f"toUInt32({number}) AS cell"

    @property
    def several_writers(self) -> bool:
        """True if the reads are of more than one writer."""
        return len(self._writers) > 1

    @property
    def series_columns(self) -> str:
        """The columns of a table that distinguish the series."""
        return "run_id, key, writer" if self.several_writers else "run_id, key"

    @property
    def shifts(self) -> Int64s:
        """The shift of each read."""
        return np.array([read.shift for read in self.reads])

    @property
    def rewritten(self) -> NDArray[np.bool_]:
        """A flag for each read: its series has steps that were written twice."""
        return np.array([read.info.rewritten for read in self.reads])

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that name the project, the runs and the keys."""
        first = self.reads[0].run
        return {
            "entity": first.entity,
            "project": first.project,
            **one_of_parameter("run_id", "runs", self._runs),
            **one_of_parameter("key", "keys", self._keys),
            **one_of_parameter("writer", "writers", self._writers),
        }

    def chosen(self) -> tuple[str, dict[str, Any]]:
        """Return the condition that selects the series, and its parameters."""
        if self._complete:
            series = f"{one_of('run_id', 'runs', self._runs)} AND {one_of('key', 'keys', self._keys)}"
            return f"{OF_PROJECT} AND {series} AND {self._of_writers}", {}
        if self.several_writers:
            series = "(run_id, key, writer) IN {series:Array(Tuple(String, String, String))}"
            return f"{OF_PROJECT} AND {series}", {"series": [read.series for read in self.reads]}
        series = "(run_id, key) IN {series:Array(Tuple(String, String))}"
        named = {"series": [read.series[:2] for read in self.reads]}
        return f"{OF_PROJECT} AND {series} AND {self._of_writers}", named

    @property
    def _of_writers(self) -> str:
        return NO_WRITER if self._writers == [UNNAMED] else one_of("writer", "writers", self._writers)

    def range(self) -> dict[str, int]:
        """Return the parameters of the smallest range of steps that contains all reads."""
        return {
            "low": min(read.step_from for read in self.reads),
            "high": max(read.step_to for read in self.reads),
        }

    def highs(self) -> list[int]:
        """Return the last step to read for each cell; -1 for cells without a read."""
        highs = np.append([read.step_to for read in self.reads], -1)
        return list(highs[self._local].tolist())

    def local(self, cells: NDArray[Any]) -> Int64s:
        """Return the index in this batch of the read that each row belongs to, by the rows' cells."""
        indexes: Int64s = self._local[cells]
        return indexes

    def common(self, *, points: bool) -> tuple[str, dict[str, Any]] | None:
        """Return a condition for all rows to read, points or rollups, if all series have the same segments; else None.

        The condition is empty if there are no such rows.
        """
        if not self._alike:
            return None
        segments = [segment for segment in self._segments[0] if (segment.level == POINTS) == points]
        if not segments:
            return "", {}
        condition, named = segment_condition(segments)
        return f"{self.chosen()[0]} AND {condition}", named

    def extent(self, level: int) -> tuple[int, int] | None:
        """Return the first and the last bucket of a level that any read needs; None if no read needs one."""
        chosen = [segment for segments in self._segments for segment in segments if segment.level == level]
        if not chosen:
            return None
        return min(segment.first for segment in chosen), max(segment.end for segment in chosen) - 1

    def edges(self, levels: Sequence[int], rewritten: bool | None = None) -> tuple[str, dict[str, Any]] | None:
        """Return a condition for the rows of some levels at the ends of the ranges; None if no row is needed.

        The condition may select further rows, which `covered` removes.

        Args:
            levels: POINTS, or levels of rollups.
            rewritten: only series that have, or have no, steps written twice; None: all series.
        """
        chosen = [
            Edge(read.run.run_id, read.info.key, read.info.writer, segment.level, parent)
            for read, segments in zip(self.reads, self._segments, strict=True)
            if rewritten is None or read.info.rewritten == rewritten
            for segment in segments
            if segment.level in levels
            for parent in segment.parents
        ]
        if not chosen:
            return None
        position = ["parent"] if POINTS in levels else ["level", "parent"]
        return edge_condition(chosen, position, self._of_writers)

    def ends(self) -> list[int]:
        """Return the buckets of the lowest rollup level, of any series, in which points are read."""
        points = (segment for segments in self._segments for segment in segments if segment.level == POINTS)
        return sorted({parent for segment in points for parent in segment.parents})

    def covered(self, local: Int64s, level: Int64s | int, bucket: Int64s) -> NDArray[np.bool_]:
        """Return a mask of the rows that lie in a segment of their read.

        Other rows matched a condition that selects more than needed, or were inserted after the read was planned.
        """
        index = local + np.multiply(level, len(self.reads))
        first, end, second, last = (bounds[index] for bounds in self._bounds)
        inside: NDArray[np.bool_] = (bucket >= first) & (bucket < end)
        if second.any():
            inside |= (bucket >= second) & (bucket < last)
        return inside

    def _all_bounds(self) -> Int64s:
        """Return int64[4, levels * reads]: first and end of the up to two segments that a read has of each level."""
        bounds = np.zeros((4, LEVELS[-1] + 1, len(self.reads)), np.int64)
        for index, segments in enumerate(self._segments):
            seen: set[int] = set()
            for level, first, end in segments:
                bounds[2 if level in seen else 0, level, index] = first
                bounds[3 if level in seen else 1, level, index] = end
                seen.add(level)
        return bounds.reshape(4, -1)


def plan_batches(
    reads: Sequence[SeriesRead], portion_rows: int | None = PORTION_ROWS
) -> Iterator[tuple[ReadKind, ReadBatch]]:
    """Yield a batch for each statement: reads of one kind, about `portion_rows` rows at a time."""
    by_kind: dict[ReadKind, list[int]] = {}
    order = sorted(range(len(reads)), key=lambda index: _sort_key(reads[index]))
    for index in order:
        by_kind.setdefault(ReadKind.from_read(reads[index]), []).append(index)
    for read_kind, indexes in by_kind.items():
        portion: list[int] = []
        rows = 0
        names: list[set[str]] = [set(), set(), set()]
        for index in indexes:
            series = reads[index].series
            many_rows = portion_rows is not None and rows + reads[index].rows > portion_rows
            cells = math.prod(len(known) + (name not in known) for known, name in zip(names, series, strict=True))
            if portion and (many_rows or cells > PORTION_CELLS):
                yield read_kind, ReadBatch(reads, portion)
                portion, rows, names = [], 0, [set(), set(), set()]
            portion.append(index)
            rows += reads[index].rows
            for known, name in zip(names, series, strict=True):
                known.add(name)
        yield read_kind, ReadBatch(reads, portion)


def _sort_key(read: SeriesRead) -> tuple[bytes, ...]:
    return tuple(part.encode() for part in read.series)


def _numbers(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}
