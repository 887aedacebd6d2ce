"""Rollups: buckets of a number's series on five levels, computed from its points, and computed again when they change.

A bucket of level k is the steps `bucket << k` to `(bucket + 1 << k) - 1`. Levels are 32-fold apart: a view whose
buckets are as wide as a level's or up to 32 times wider reads at most 32 rows for each of its own.

A bucket is *closed* once its series has reached a later one: `bucket < last_step >> level`. Every closed bucket with a
point has a row, before the table `series` says that the series has come so far; what is not closed is read from the
level below, and in the end from the points. So a reader who has a series' last step from `series` knows what to read
where (`closed`), and a slow run costs no row for each of its flushes.

A row is a pure function of the points it stands for. Computing it twice, or from points that a reader does not see yet,
does no harm; a value that is overwritten at its step, or comes late, is put right by computing its bucket again.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from typing import Final

LEVELS: Final = (7, 12, 17, 22, 27)
"""Binary logarithms of the widths, in steps. Below 128 steps a row of rollups costs as much as the points it saves."""

LEVEL_BITS: Final = 5
"""How far levels are apart."""

_SERIES: Final = "entity, project, run_id, key"
_COLUMNS: Final = (
    f"{_SERIES}, level, bucket, first_step, first_value, last_step, last_value, last_timestamp,"
    " min_step, min_value, max_step, max_value, total, finite, nans, count, version"
)


def closed(level: int, last_step: int) -> int:
    """Return the first bucket of a level that is not closed in a series that has reached `last_step`."""
    return last_step >> level


def level_for(shift: int) -> int | None:
    """Return the widest level whose buckets fit into buckets of `2**shift` steps; None where only points do."""
    return max((level for level in LEVELS if level <= shift), default=None)


def rollup_statement(level: int, condition: str) -> str:
    """Return the statement that computes a level's buckets of the series that `condition` chooses, closed or not.

    The lowest level is computed from points, with `step` as the condition's place in a series; each higher one from
    the level below, with `bucket` (of the level below). The condition must choose whole buckets, and closed ones
    alone, which only the caller knows.

    The sum is Kahan's, over rows in the order of steps in one thread: the same points give the same bits.
    """
    source = _of_points(level, condition) if level == LEVELS[0] else _of_level(level, level - LEVEL_BITS, condition)
    settings = "max_threads = 1, optimize_aggregation_in_order = 1"
    return f"INSERT INTO {{db}}.rollups ({_COLUMNS}) {source} SETTINGS {settings}"


def _of_points(level: int, condition: str) -> str:
    return f"""
SELECT {_SERIES}, {level} AS level, bitShiftRight(step, {level}) AS bucket,
    min(step) AS first_step, argMin(value, step) AS first_value,
    max(step) AS last_step, argMax(value, step) AS last_value, argMax(timestamp, step) AS last_timestamp,
    argMinIf(step, (value, step), NOT isNaN(value)) AS min_step,
    if(nans = count, nan, minIf(value, NOT isNaN(value))) AS min_value,
    argMaxIf(step, (value, -step), NOT isNaN(value)) AS max_step,
    if(nans = count, nan, maxIf(value, NOT isNaN(value))) AS max_value,
    sumKahan(if(isFinite(value), value, 0)) AS total, countIf(isFinite(value)) AS finite,
    countIf(isNaN(value)) AS nans, count() AS count, max(version) AS version
FROM {{db}}.points_number FINAL WHERE {condition}
GROUP BY {_SERIES}, bucket"""


def _of_level(level: int, below: int, condition: str) -> str:
    bits = level - below
    # Inner names, since an alias that is a column's name would be read for it.
    return f"""
SELECT {_SERIES}, {level} AS level, bitShiftRight(b.bucket, {bits}) AS bucket,
    min(b.first_step) AS first_step, argMin(b.first_value, b.first_step) AS first_value,
    max(b.last_step) AS last_step, argMax(b.last_value, b.last_step) AS last_value,
    argMax(b.last_timestamp, b.last_step) AS last_timestamp,
    argMinIf(b.min_step, (b.min_value, b.min_step), NOT isNaN(b.min_value)) AS min_step,
    if(nans = count, nan, minIf(b.min_value, NOT isNaN(b.min_value))) AS min_value,
    argMaxIf(b.max_step, (b.max_value, -b.max_step), NOT isNaN(b.max_value)) AS max_step,
    if(nans = count, nan, maxIf(b.max_value, NOT isNaN(b.max_value))) AS max_value,
    sumKahan(b.total) AS total, sum(b.finite) AS finite, sum(b.nans) AS nans, sum(b.count) AS count,
    max(b.version) AS version
FROM (SELECT * FROM {{db}}.rollups FINAL WHERE level = {below} AND {condition}) AS b
GROUP BY {_SERIES}, bucket"""
