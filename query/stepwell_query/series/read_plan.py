"""Which rows a request needs, gathered into few statements: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.series.math.buckets import Int64s
from stepwell_query.series.segments import POINTS, Segment, cover
from stepwell_schemas.rollups.sql import LEVEL_BITS, LEVELS, level_for
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

PORTION_ROWS: Final = 2_000_000
"""Rows of one statement, about, unless one series alone has more."""

# Rows at the ends of a range, below its level: fewer than 64 of each level, and fewer than 256 points.
_END_ROWS: Final = 500

_LEVEL_OF_SHIFT: Final = tuple(level_for(shift) or POINTS for shift in range(64))
_PLACE: Final = "transform({0}, {{{1}:Array(String)}}, range(length({{{1}:Array(String)}})), 0)"


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read of a series: its steps `low`..`high`, both included, by buckets of `2**shift` steps."""

    run: RunPath
    info: SeriesInfo
    low: int
    high: int
    shift: int

    @property
    def level(self) -> int:
        """The widest level that serves; POINTS where only they do, as for booleans."""
        return _LEVEL_OF_SHIFT[self.shift] if self.info.kind is Kind.NUMBER else POINTS

    @property
    def rows(self) -> int:
        """Rows that have to be read, at most."""
        width = self.high - self.low + 1
        return min(self.info.rows, width if self.level == POINTS else (width >> self.level) + _END_ROWS)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """What is read of which level; a bucket in which the series begins is taken whole."""
        low = self.low >> self.level << self.level if self.low <= self.info.first else self.low
        return cover(low, self.high, self.info.last, self.level)


class Form(NamedTuple):
    """What the readings of one statement have in common.

    `rewritten` says that steps were written twice, of what is read from points; rollups are right by themselves.
    `grouped` is the shift of booleans' buckets, which have no rollups: ClickHouse itself makes them.
    """

    entity: str
    project: str
    kind: Kind
    level: int
    rewritten: bool
    grouped: int

    @classmethod
    def of(cls, reading: Reading) -> Form:
        """Return the form of a reading."""
        info, level = reading.info, reading.level
        grouped = 0 if info.kind is Kind.NUMBER else reading.shift
        return cls(reading.run.entity, reading.run.project, info.kind, level, info.rewritten and not level, grouped)


class Batch:
    """The readings of one statement: its parameters, and whose the rows are that it returns.

    `owners` are the readings' places in the request, ascending by run and key as the tables are sorted. A row's *cell*
    is the number of its run, times the number of keys, plus that of its key.
    """

    def __init__(self, readings: Sequence[Reading], places: Sequence[int]) -> None:
        self.owners = np.array(places)
        self.readings = [readings[place] for place in places]
        self._runs = sorted({reading.run.run_id for reading in self.readings}, key=str.encode)
        self._keys = sorted({reading.info.key for reading in self.readings}, key=str.encode)
        self._local = np.full(len(self._runs) * len(self._keys), -1)
        runs, keys = _numbers(self._runs), _numbers(self._keys)
        cells = [runs[item.run.run_id] * len(keys) + keys[item.info.key] for item in self.readings]
        self._local[cells] = np.arange(len(places))
        self._segments = [reading.segments for reading in self.readings]
        self._bounds = self._all_bounds()

    @property
    def cell(self) -> str:
        """The SQL of a row's cell; of parameters alone, and looked up once a block for each of the few names in it."""
        runs = _PLACE.format("run_id", "runs") if len(self._runs) > 1 else "0"
        keys = _PLACE.format("key", "keys") if len(self._keys) > 1 else "0"
        return f"toUInt32({runs} * {len(self._keys):d} + {keys}) AS cell"

    @property
    def shifts(self) -> Int64s:
        """The shift of each reading."""
        return np.array([reading.shift for reading in self.readings])

    @property
    def rewritten(self) -> NDArray[np.bool_]:
        """Whether each reading is of a series of which steps were written twice."""
        return np.array([reading.info.rewritten for reading in self.readings])

    def parameters(self) -> dict[str, Any]:
        """Return the parameters that name the project, the runs and the keys."""
        first = self.readings[0].run
        return {"entity": first.entity, "project": first.project, "runs": self._runs, "keys": self._keys}

    def chosen(self) -> tuple[str, dict[str, Any]]:
        """Return the condition that chooses the series, and its parameters."""
        if len(self._runs) * len(self._keys) == len(self.readings):
            return f"{OF_PROJECT} AND run_id IN {{runs:Array(String)}} AND key IN {{keys:Array(String)}}", {}
        series = [(reading.run.run_id, reading.info.key) for reading in self.readings]
        return f"{OF_PROJECT} AND (run_id, key) IN {{series:Array(Tuple(String, String))}}", {"series": series}

    def range(self) -> dict[str, int]:
        """Return the parameters of the steps that all readings together lie in."""
        return {
            "low": min(reading.low for reading in self.readings),
            "high": max(reading.high for reading in self.readings),
        }

    def highs(self) -> list[int]:
        """Return the last step to be read, by cell; -1 for cells that are not."""
        highs = np.append([reading.high for reading in self.readings], -1)
        return list(highs[self._local].tolist())

    def local(self, cells: NDArray[Any]) -> Int64s:
        """Return the places in this batch of the readings that own some rows, by the rows' cells."""
        places: Int64s = self._local[cells]
        return places

    def extent(self, level: int) -> tuple[int, int] | None:
        """Return the first and the last bucket of a level that any reading needs, None when none does."""
        found = [segment for segments in self._segments for segment in segments if segment.level == level]
        if not found:
            return None
        return min(segment.first for segment in found), max(segment.end for segment in found) - 1

    def edges(self, levels: Sequence[int], rewritten: bool | None = None) -> tuple[str, dict[str, Any]] | None:
        """Return a condition for what is read of levels at the ranges' ends, None where nothing is; it may choose more.

        Args:
            levels: POINTS, or levels of rollups. rewritten: only of series of which that is so.
        """
        chosen = [
            _Edge(reading.run.run_id, reading.info.key, segment.level, parent)
            for reading, segments in zip(self.readings, self._segments, strict=True)
            if rewritten is None or reading.info.rewritten == rewritten
            for segment in segments
            if segment.level in levels
            for parent in segment.parents
        ]
        return _edge_condition(chosen, ["parent"] if POINTS in levels else ["level", "parent"]) if chosen else None

    def ends(self) -> list[int]:
        """Return the buckets of the lowest level, of any series, in which points are read."""
        points = (segment for segments in self._segments for segment in segments if segment.level == POINTS)
        return sorted({parent for segment in points for parent in segment.parents})

    def covered(self, local: Int64s, level: Int64s | int, bucket: Int64s) -> NDArray[np.bool_]:
        """Return which rows lie in a segment of their reading; others came with them, or later than it was planned."""
        place = local + np.multiply(level, len(self.readings))
        first, end, second, last = (bounds[place] for bounds in self._bounds)
        inside: NDArray[np.bool_] = (bucket >= first) & (bucket < end)
        if second.any():
            inside |= (bucket >= second) & (bucket < last)
        return inside

    def _all_bounds(self) -> Int64s:
        """Return int64[4, levels * readings]: first and end of the two segments that a level of a reading can have."""
        bounds = np.zeros((4, LEVELS[-1] + 1, len(self.readings)), np.int64)
        for place, segments in enumerate(self._segments):
            seen: set[int] = set()
            for level, first, end in segments:
                bounds[2 if level in seen else 0, level, place] = first
                bounds[3 if level in seen else 1, level, place] = end
                seen.add(level)
        return bounds.reshape(4, -1)


def batches(readings: Sequence[Reading], portion_rows: int | None = PORTION_ROWS) -> Iterator[tuple[Form, Batch]]:
    """Yield the statements that read all: readings of one form together, of some `portion_rows` rows at a time."""
    forms: dict[Form, list[int]] = {}
    order = sorted(range(len(readings)), key=lambda place: _sort_key(readings[place]))
    for place in order:
        forms.setdefault(Form.of(readings[place]), []).append(place)
    for form, places in forms.items():
        portion: list[int] = []
        rows = 0
        for place in places:
            if portion and portion_rows is not None and rows + readings[place].rows > portion_rows:
                yield form, Batch(readings, portion)
                portion, rows = [], 0
            portion.append(place)
            rows += readings[place].rows
        yield form, Batch(readings, portion)


class _Edge(NamedTuple):
    """A bucket 32 times as wide as those (of points: 128 times as the steps) that are read of a series."""

    run_id: str
    key: str
    level: int
    parent: int


def _edge_condition(edges: Sequence[_Edge], place: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the condition of edges, and its parameters; `place` is which of their fields tell where in a series."""
    runs, keys = sorted({edge.run_id for edge in edges}), sorted({edge.key for edge in edges})
    ends = {(edge.run_id, edge.level, edge.parent) for edge in edges}
    # Most keys of a run end alike, as a rule: then few names say it all.
    alike = len(ends) * len(keys) <= 2 * len(edges)
    fields = [*(["run_id"] if len(runs) > 1 or not alike else []), *([] if alike else ["key"]), *place]
    sql = {"run_id": "run_id", "key": "key", "level": "level", "parent": f"intDiv(bucket, {1 << LEVEL_BITS})"}
    if place == ["parent"]:
        sql["parent"] = f"intDiv(step, {1 << LEVELS[0]})"
    types = {"run_id": "String", "key": "String", "level": "UInt8", "parent": "Int64"}
    column = ", ".join(sql[field] for field in fields)
    kind = ", ".join(types[field] for field in fields)
    values = sorted({tuple(getattr(edge, field) for field in fields) for edge in edges})
    condition = (
        f"{OF_PROJECT} AND run_id IN {{edge_runs:Array(String)}} AND key IN {{edge_keys:Array(String)}}"
        f" AND tuple({column}) IN {{edges:Array(Tuple({kind}))}}"
    )
    return condition, {"edge_runs": runs, "edge_keys": keys, "edges": values}


def _sort_key(reading: Reading) -> tuple[bytes, bytes]:
    return reading.run.run_id.encode(), reading.info.key.encode()


def _numbers(names: Sequence[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}
