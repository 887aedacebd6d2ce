"""Rollups in the simulated store: its answers to statements that compute buckets, and the invariant of rollups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from stepwell_schemas.clickhouse.store import Parameters
from support.readers.rollups import Point, Row, comparable, expected_rollups, point_row, row_together

LEVELS: Final = ((1, 2, 4), (1, 3), (2,))
"""Levels of a schedule, one of these: narrow buckets, so that its short log closes some on each level."""

_COMPUTING: Final = re.compile(
    r"INSERT INTO \{db\}\.rollups .*? toUInt8\((\d+)\) AS level"
    r".* FROM \{db\}\.(?:points_number FINAL|rollups FINAL WHERE level = (\d+))",
    re.DOTALL,
)
_SERIES: Final = ("entity", "project", "run_id", "key", "writer")
Rows = Sequence[Row]
Series = tuple[str, ...]


def computed(sql: str, asked: Parameters, visible: Callable[[str], Rows]) -> list[Row]:
    """Return the rows that a statement computes; `visible` returns the rows of a table."""
    found = _COMPUTING.match(sql)
    if found is None:
        raise AssertionError(f"the simulated store does not know this statement; teach it: {sql}")
    level = int(found[1])
    if found[2] is None:
        parts = {series: _points(rows) for series, rows in _by_series(_since(visible("points_number"), asked)).items()}
    else:
        lower = _since(visible("rollups"), asked)
        parts = {series: _final(rows, int(found[2])) for series, rows in _by_series(lower).items()}
    rows = []
    for series, buckets in _chosen(asked):
        for bucket in buckets:
            inside = [row for row in parts.get(series, ()) if row["first_step"] >> level == bucket]
            if inside:
                place = dict(zip(_SERIES, series, strict=True))
                row = row_together(inside)
                rows.append(row | place | {"level": level, "bucket": bucket, "version": asked["version"]})
    return rows


def _since(rows: Rows, asked: Parameters) -> Rows:
    """Return the rows without those of deleted runs."""
    since = {
        tuple(asked[f"{part}_{name.removeprefix('since_')}"] for part in _SERIES[:3]): version
        for name, version in asked.items()
        if name.startswith("since_")
    }
    return [row for row in rows if row["version"] >= since.get(_series(row)[:3], 0)] if since else rows


def _chosen(asked: Parameters) -> Iterator[tuple[Series, Sequence[int]]]:
    for number in range(sum(name.startswith("keys_") for name in asked)):
        run = [asked[f"{name}_{number}"] for name in ("entity", "project", "run_id")]
        for key in asked[f"keys_{number}"]:
            yield (*run, key, asked[f"writer_{number}"]), asked[f"buckets_{number}"]


def closed_before(series: Rows, points: Rows, rollups: Rows, levels: Sequence[int]) -> list[str]:
    """Return the buckets without a row that these rows of the table `series` close; their points are stored already."""
    by_series, stored = _by_series(points), _by_series(rollups)
    problems = []
    for row in series:
        if row["kind"] == "number":
            name = _series(row)
            have = {(one["level"], one["bucket"]) for one in stored.get(name, ())}
            for level in levels:
                buckets = {point["step"] >> level for point in by_series.get(name, ())}
                problems += [
                    f"{name} reached {row['last_step']} before it has level {level}, bucket {bucket}"
                    for bucket in sorted(buckets)
                    if bucket < row["last_step"] >> level and (level, bucket) not in have
                ]
    return problems


def differences(rollups: Rows, points: Rows, levels: Sequence[int]) -> list[str]:
    """Return the differences between stored rollups and points: there must be a row for every closed bucket only."""
    wanted: dict[Any, Row] = {}
    have: dict[Any, Row] = {}
    for series, rows in _by_series(points).items():
        of_series = comparable(expected_rollups("", _shown(rows), levels))
        wanted |= {(series, level, bucket): row for (_, level, bucket), row in of_series.items()}
    for series, rows in _by_series(rollups).items():
        final = {("", level, row["bucket"]): row for level in levels for row in _final(rows, level)}
        have |= {(series, level, bucket): row for (_, level, bucket), row in comparable(final).items()}
    return [
        f"rollup {place}: wanted {wanted.get(place)}, found {have.get(place)}"
        for place in sorted(wanted.keys() | have.keys())
        if wanted.get(place) != have.get(place)
    ]


def _points(rows: Rows) -> Rows:
    shown = _shown(rows)
    return [point_row(step, shown[step]) for step in sorted(shown)]


def _shown(rows: Rows) -> Mapping[int, Point]:
    return {
        row["step"]: Point(row["value"], round(row["timestamp"].timestamp() * 1_000))
        for row in sorted(rows, key=lambda row: int(row["version"]))
    }


def _final(rows: Rows, level: int) -> Rows:
    newest: dict[int, Row] = {}
    for row in rows:
        known = newest.get(row["bucket"])
        if row["level"] == level and (known is None or row["version"] >= known["version"]):
            newest[row["bucket"]] = row
    return [newest[bucket] for bucket in sorted(newest)]


def _by_series(rows: Iterable[Row]) -> dict[Series, list[Row]]:
    found: dict[Series, list[Row]] = {}
    for row in rows:
        found.setdefault(_series(row), []).append(row)
    return found


def _series(row: Row) -> Series:
    # A flush without a named writer leaves the column out.
    return tuple(row.get(name, "") for name in _SERIES)
