"""Expected rollups of points, in plain Python: a loop over the points of each bucket, in the order of steps."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import LEVELS, VALUES, closed, computed, level_below, storing
from stepwell_schemas.rules.identifiers import RunPath

Place = tuple[str, int, int]
"""Series (see `series_name`), level and bucket."""

Row = dict[str, Any]


class Point(NamedTuple):
    """A stored point: its value, and its time in milliseconds since the epoch."""

    value: float
    timestamp: int


def expected_rollups(key: str, points: Mapping[int, Point], levels: Sequence[int] = LEVELS) -> dict[Place, Row]:
    """Return the rows of a series' closed buckets by key, level and bucket; `points` are by step, as in the views."""
    found: dict[Place, Row] = {}
    below = [point_row(step, points[step]) for step in sorted(points)]
    for level in levels:
        end = max(points, default=0) >> level
        parts: dict[int, list[Row]] = {}
        for row in below:
            if row["first_step"] >> level < end:
                parts.setdefault(row["first_step"] >> level, []).append(row)
        together = {(key, level, bucket): row_together(rows) for bucket, rows in parts.items()}
        found |= together
        below = list(together.values())
    return found


def point_row(step: int, point: Point) -> Row:
    """Return the row of a single point."""
    value, nan = point.value, math.isnan(point.value)
    return {
        "first_step": step, "first_value": value, "last_step": step, "last_value": value,
        "last_timestamp": point.timestamp,
        "min_step": 0 if nan else step, "min_value": value, "max_step": 0 if nan else step, "max_value": value,
        "total": value if math.isfinite(value) else 0.0, "finite": int(math.isfinite(value)), "nans": int(nan),
        "count": 1,
    }  # fmt: skip


def row_together(parts: Sequence[Row]) -> Row:
    """Return the aggregate of several rows, which are in the order of their steps."""
    row = {**parts[0], "total": 0.0, "finite": 0, "nans": 0, "count": 0}
    for part in parts:
        for name in ("total", "finite", "nans", "count"):
            row[name] += part[name]
        for name in ("last_step", "last_value", "last_timestamp"):
            row[name] = part[name]
        for which, beats in (("min", float.__lt__), ("max", float.__gt__)):
            held, offered = row[f"{which}_value"], part[f"{which}_value"]
            if not math.isnan(offered) and (math.isnan(held) or beats(offered, held)):
                row |= {f"{which}_step": part[f"{which}_step"], f"{which}_value": offered}
    return row


def comparable(rows: Mapping[Place, Row]) -> dict[Place, Row]:
    """Return rows in a comparable form: floats by their bits, all NaN as one, and times in milliseconds."""
    return {place: {name: _plain(row[name]) for name in VALUES} for place, row in rows.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return round(value.timestamp() * 1_000)
    if not isinstance(value, float):
        return value
    return "nan" if math.isnan(value) else struct.pack(">d", value).hex()


def series_name(key: str, writer: str) -> str:
    """Return the name of a series: its key, with the writer if one is named."""
    return f"{key}@{writer}" if writer else key


def by_place(rows: Iterable[Row]) -> dict[Place, Row]:
    """Return rows by series, level and bucket."""
    return {(series_name(row["key"], row["writer"]), row["level"], row["bucket"]): row for row in rows}


ROLLUPS = f"SELECT key, writer, level, bucket, {', '.join(VALUES)} FROM {{db}}.rollups FINAL"


def stored_rollups(store: Store, run: str) -> dict[Place, Row]:
    """Return all stored rollups of a run, of closed and of open buckets."""
    return by_place(store.query(f"{ROLLUPS} WHERE run_id = {{run:String}}", {"run": run}).to_pylist())


def wanted_rollups(store: Store, run: str, levels: Sequence[int] = LEVELS) -> dict[Place, Row]:
    """Return the expected rollups of a run, computed from its points in the view `numbers`."""
    sql = (
        "SELECT key, writer, step, value, toUnixTimestamp64Milli(timestamp) AS at"
        " FROM {db}.numbers WHERE run_id = {run:String}"
    )
    series: dict[str, dict[int, Point]] = {}
    for row in store.query(sql, {"run": run}).to_pylist():
        name = series_name(row["key"], row["writer"])
        series.setdefault(name, {})[row["step"]] = Point(row["value"], row["at"])
    found: dict[Place, Row] = {}
    for name, points in series.items():
        found |= expected_rollups(name, points, levels)
    return found


def fill_rollups(
    store: Store, run: RunPath, key: str, writer: str, before: int, first: int, last: int, version: int
) -> None:
    """Compute the closed buckets of a series that had reached step `before` (-1: none) and got `first`..`last`.

    `version` is greater than that of every earlier call for the series, as the end of a flush is: of rows with equal
    versions, readers would take any.
    """
    reached = max(before, last)
    for level in LEVELS:
        start, end = min(closed(level, max(before, 0)), first >> level), closed(level, reached)
        if start >= end:
            return
        below = level_below(level)
        place = "step" if below is None else "bucket"
        bits = level - (below or 0)
        chosen = (
            "entity = {entity:String} AND project = {project:String} AND run_id = {run_id:String}"
            " AND key = {key:String} AND writer = {writer:String}"
            f" AND {place} >= {{low:Int64}} AND {place} < {{high:Int64}}"
        )
        bounds = {"key": key, "writer": writer, "low": start << bits, "high": end << bits, "version": version}
        store.command(storing(computed(level, below, chosen), "{version:UInt64}"), run._asdict() | bounds)
