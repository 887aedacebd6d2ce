"""Partial rows of the table `series`: what a flush adds to what is known of each series."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stepwell_ingestor.points import Columns
from stepwell_ingestor.state import SeriesId
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.kinds import Kind
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.streams import DEFAULT


@dataclass
class SeriesPart:
    """What a flush adds to one series; the extremes and the sum leave NaN out.

    `exact` has the digits of the last value where that is an integer that float64 can't hold.
    `stream` is DEFAULT once a row of the run's own has it.
    """

    first_step: int
    last_step: int
    points: int
    rewritten: bool
    first_version: int
    value_min: float
    value_max: float
    value_sum: float
    not_nan: int
    last: tuple[int, int, float | str]
    last_offset: int
    exact: str = ""
    stream: str = DEFAULT

    def add(self, other: SeriesPart) -> None:
        """Take in a later part of the same series."""
        self.rewritten |= other.rewritten or other.first_step <= self.last_step
        self.first_step = min(self.first_step, other.first_step)
        self.last_step = max(self.last_step, other.last_step)
        self.points += other.points
        self.first_version = min(self.first_version, other.first_version)
        self.value_min = min(self.value_min, other.value_min)
        self.value_max = max(self.value_max, other.value_max)
        self.value_sum += other.value_sum
        self.not_nan += other.not_nan
        if other.last[:2] >= self.last[:2]:
            self.last, self.exact = other.last, other.exact
        self.last_offset = max(self.last_offset, other.last_offset)
        self.stream = min(self.stream, other.stream)


def parts_of(columns: Columns, stream: str = DEFAULT) -> list[SeriesPart]:
    """Return the part of each key of some columns that rows of `stream` logged."""
    steps, rows = columns.steps, len(columns.steps)
    repeated = bool((steps[1:] <= steps[:-1]).any())
    first, last, version = int(steps[0]), int(steps[-1]), int(columns.versions[0])
    last_version = int(columns.versions[-1])
    figures = _figures(columns)
    return [
        SeriesPart(
            first, last, rows, repeated, version, *figures[number],
            (last, last_version, columns.values[(number + 1) * rows - 1]), last_version >> VERSION_ROW_BITS,
            columns.exact.get((number + 1) * rows - 1, ""), stream,
        )
        for number in range(len(columns.keys))
    ]  # fmt: skip


def _figures(columns: Columns) -> list[tuple[float, float, float, int]]:
    if columns.kind is not Kind.NUMBER:
        return [(math.inf, -math.inf, 0.0, 0)] * len(columns.keys)
    values = columns.values.reshape(len(columns.keys), len(columns.steps))
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = np.sum(values, axis=1, where=there)
    lows = np.min(values, axis=1, where=there, initial=np.inf)
    highs = np.max(values, axis=1, where=there, initial=-np.inf)
    counts = there.sum(axis=1)
    return list(zip(lows.tolist(), highs.tolist(), sums.tolist(), counts.tolist(), strict=True))


def series_table(parts: Mapping[tuple[RunPath, SeriesId], SeriesPart]) -> pa.Table:
    """Return the parts as rows of the table `series`."""
    rows = list(parts.items())
    flush = [part for _, part in rows]
    numbers = [part.last[2] if isinstance(part.last[2], float) else 0.0 for part in flush]
    texts = [part.last[2] if isinstance(part.last[2], str) else part.exact for part in flush]
    columns: dict[str, Any] = {
        "entity": [path.entity for (path, _), _ in rows],
        "project": [path.project for (path, _), _ in rows],
        "run_id": [path.run_id for (path, _), _ in rows],
        "key": [key for (_, (key, _)), _ in rows],
        "kind": [kind for (_, (_, kind)), _ in rows],
        "first_step": pa.array([part.first_step for part in flush], pa.int64()),
        "last_step": pa.array([part.last_step for part in flush], pa.int64()),
        "points": pa.array([part.points for part in flush], pa.uint64()),
        "rewritten": pa.array([int(part.rewritten) for part in flush], pa.uint8()),
        "first_version": pa.array([part.first_version for part in flush], pa.uint64()),
        "value_min": [part.value_min for part in flush],
        "value_max": [part.value_max for part in flush],
        "value_sum": [part.value_sum for part in flush],
        "not_nan": pa.array([part.not_nan for part in flush], pa.uint64()),
        "last_number": _last(flush, pa.array(numbers, pa.float64())),
        "last_text": _last(flush, pa.array(texts, pa.string())),
        "last_offset": pa.array([part.last_offset for part in flush], pa.int64()),
        "stream": [part.stream for part in flush],
    }
    return pa.table(columns)


def _last(flush: list[SeriesPart], values: pa.Array) -> pa.StructArray:
    steps = pa.array([part.last[0] for part in flush], pa.int64())
    versions = pa.array([part.last[1] for part in flush], pa.uint64())
    return pa.StructArray.from_arrays([steps, versions, values], ["step", "version", "value"])
