"""The SQL of rollups: buckets of a number series on five levels, computed from its points.

Bucket b of level k covers the steps `b << k` to `(b + 1 << k) - 1`. Levels differ by a factor of 32: a view with
buckets between one and 32 times as wide as a level's reads at most 32 rows per bucket.

A bucket is *closed* once its series has reached a later one: `bucket < last_step >> level`. Every closed bucket with a
point has a row, which is stored before the table `series` has that last step. Open buckets are read from the level
below, and in the end from the points. Therefore a series' last step in `series` determines what to read where
(`closed`), and a slow run does not cost a row per flush. Rows of open buckets are meaningless.

A row is a pure function of its points, bit for bit, so computing it again is harmless. If a value is overwritten at its
step or is late, its bucket is computed again. Of several rows of a bucket, the one with the greatest `version` is
valid: the end of the flush that computed it, so that a delayed flush never wins.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from stepwell_schemas.clickhouse.tables import RUNS_CONDITION
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath

LEVELS: Final = (7, 12, 17, 22, 27)
"""Binary logarithms of the widths, in steps. Below 128 steps, a rollup row costs as much as the points it saves."""

LEVEL_BITS: Final = 5
"""Difference between two adjacent levels."""

TABLE: Final = "rollups"
VALUES: Final = (
    "first_step", "first_value", "last_step", "last_value", "last_timestamp", "min_step", "min_value", "max_step",
    "max_value", "total", "finite", "nans", "count",
)  # fmt: skip
"""The columns that are computed from the points; the others identify the bucket and the version."""

# The bits of two NaNs may differ.
DIGEST: Final = "cityHash64({})".format(
    ", ".join(
        f"reinterpretAsUInt64(if(isNaN({name}), nan, {name}))" if name.endswith("value") or name == "total" else name
        for name in VALUES
    )
)
"""The SQL of a hash of the columns in VALUES."""

SERIES: Final = "entity, project, run_id, key, writer"
_BY_STEP: Final = "first_value", "last_value", "min_step", "min_value", "max_step", "max_value", "total"


class Buckets(NamedTuple):
    """The same buckets of a level for several series of a writer."""

    path: RunPath
    writer: str
    keys: Sequence[str]
    buckets: Sequence[int]


class Statement(NamedTuple):
    """SQL text with the placeholder `{db}`, and its parameters."""

    sql: str
    parameters: Mapping[str, Any]


def closed(level: int, last_step: int) -> int:
    """Return the first bucket of a level that is not closed in a series that has reached `last_step`."""
    return last_step >> level


def level_for(shift: int) -> int | None:
    """Return the widest level whose buckets fit into buckets of `2**shift` steps; None if only points do."""
    return max((level for level in LEVELS if level <= shift), default=None)


def level_below(level: int, levels: Sequence[int] = LEVELS) -> int | None:
    """Return the level that a level is computed from; None for the lowest level, which is computed from points."""
    return next((below for below, above in pairwise(levels) if above == level), None)


def computing(
    level: int,
    below: int | None,
    chosen: Sequence[Buckets],
    version: int,
    begins: Mapping[RunPath, int] | None = None,
) -> Statement:
    """Return the statement that computes these buckets of a level and stores them as of `version`.

    `below` is the level to compute from, None for points. The caller must ensure that the buckets are closed and that
    the buckets of the level below are stored. `begins`: the logical offset before which rows of a run are those of a
    deleted one, if it is not 0.
    """
    conditions: list[str] = []
    parameters: dict[str, Any] = {"version": version}
    for number, one in enumerate(chosen):
        given = {**one.path._asdict(), "writer": one.writer, "keys": list(one.keys), "buckets": list(one.buckets)}
        parameters |= {f"{name}_{number}": value for name, value in given.items()}
        since = ""
        if begin := (begins or {}).get(one.path, 0):
            # The version of a row of rollups is the end of its flush.
            parameters[f"since_{number}"] = begin << VERSION_ROW_BITS if below is None else begin
            since = f" AND version >= {{since_{number}:UInt64}}"
        conditions.append(
            f"(entity = {{entity_{number}:String}} AND project = {{project_{number}:String}}"
            f" AND run_id = {{run_id_{number}:String}} AND key IN {{keys_{number}:Array(String)}}"
            f" AND writer = {{writer_{number}:String}}"
            f" AND {bucket_sql(level, below)} IN {{buckets_{number}:Array(Int64)}}{since})"
        )
    rows = computed(level, below, " OR ".join(conditions))
    if below is None:
        rows = _above_boundaries(rows, level)
        parameters["runs"] = sorted({tuple(one.path) for one in chosen})
    return Statement(storing(rows, "{version:UInt64}"), parameters)


def _above_boundaries(rows: str, level: int) -> str:
    """Return the rows of a SELECT without buckets some of whose points retention has removed: their rows stay.

    The condition is part of the statement, so that no deletion comes between its check and the points that it reads.
    """
    writer = "(entity, project, run_id, writer)"
    boundaries = f"SELECT groupArray(({writer}, raw_from)) FROM {{db}}.retained_steps WHERE {RUNS_CONDITION}"
    lies_below = f"one -> one.1 = {writer} AND bucket < intDiv(one.2, {1 << level})"
    return f"SELECT * FROM ({rows}) WHERE NOT arrayExists({lies_below}, ({boundaries}))"


def storing(rows: str, version: str) -> str:
    """Return the INSERT of the rows of a SELECT; further settings may be appended."""
    columns = f"{SERIES}, level, bucket, {', '.join(VALUES)}"
    # A replicated table would drop a block that equals an earlier one, even if others were inserted in between.
    return (
        f"INSERT INTO {{db}}.{TABLE} ({columns}, version)"
        f" SELECT {columns}, {version} FROM ({rows}) SETTINGS insert_deduplicate = 0"
    )


def bucket_sql(level: int, below: int | None = None) -> str:
    """Return the SQL expression of the bucket of a point, or of a row of the level below.

    It is a division and not a shift, since ClickHouse can use the primary key only for the former.
    """
    return f"intDiv(step, {1 << level})" if below is None else f"intDiv(bucket, {1 << level - below})"


def computed(level: int, below: int | None, condition: str) -> str:
    """Return the SELECT that computes rows, without version, from the points or the level below.

    Order-dependent values use arrays sorted by step: ClickHouse reads rows in any order, and a sum of floats depends on
    it.
    """
    return _of_points(level, condition) if below is None else _of_rollups(level, below, condition)


def _of_points(level: int, condition: str) -> str:
    return f"""
SELECT {SERIES}, toUInt8({level}) AS level, rollup_bucket AS bucket,
    steps[1] AS first_step, values[1] AS first_value, steps[-1] AS last_step, values[-1] AS last_value, last_timestamp,
    if(nans = count, 0, steps[lowest]) AS min_step, if(nans = count, nan, values[lowest]) AS min_value,
    if(nans = count, 0, steps[highest]) AS max_step, if(nans = count, nan, values[highest]) AS max_value,
    arraySum(arrayFilter(x -> isFinite(x), values)) AS total,
    toUInt64(arrayCount(x -> isFinite(x), values)) AS finite, toUInt64(count - length(numbers)) AS nans,
    length(values) AS count
FROM
(
    SELECT {SERIES}, rollup_bucket, last_timestamp, steps, values, arrayFilter(x -> NOT isNaN(x), values) AS numbers,
        indexOf(values, arrayMin(numbers)) AS lowest, indexOf(values, arrayMax(numbers)) AS highest
    FROM
    (
        SELECT {SERIES}, {bucket_sql(level)} AS rollup_bucket, argMax(timestamp, step) AS last_timestamp,
            groupArray(step) AS at, arraySort(at) AS steps, arraySort((x, s) -> s, groupArray(value), at) AS values
        FROM {{db}}.points_number FINAL WHERE {condition}
        GROUP BY {SERIES}, rollup_bucket
    )
)"""


def _of_rollups(level: int, below: int, condition: str) -> str:
    arrays = ", ".join(f"arraySort((x, b) -> b, groupArray({name}), at) AS {name}s" for name in _BY_STEP)
    return f"""
SELECT {SERIES}, toUInt8({level}) AS level, rollup_bucket AS bucket,
    start AS first_step, first_values[1] AS first_value, end AS last_step, last_values[-1] AS last_value,
    time AS last_timestamp,
    if(nans = count, 0, min_steps[lowest]) AS min_step, if(nans = count, nan, min_values[lowest]) AS min_value,
    if(nans = count, 0, max_steps[highest]) AS max_step, if(nans = count, nan, max_values[highest]) AS max_value,
    arraySum(totals) AS total, all_finite AS finite, all_nans AS nans, all_count AS count
FROM
(
    SELECT *, indexOf(min_values, arrayMin(arrayFilter(x -> NOT isNaN(x), min_values))) AS lowest,
        indexOf(max_values, arrayMax(arrayFilter(x -> NOT isNaN(x), max_values))) AS highest
    FROM
    (
        SELECT {SERIES}, {bucket_sql(level, below)} AS rollup_bucket,
            min(first_step) AS start, max(last_step) AS end, argMax(last_timestamp, last_step) AS time,
            sum(finite) AS all_finite, sum(nans) AS all_nans, sum(count) AS all_count,
            groupArray(bucket) AS at, {arrays}
        FROM {{db}}.{TABLE} FINAL WHERE level = {below} AND ({condition})
        GROUP BY {SERIES}, rollup_bucket
    )
)"""
