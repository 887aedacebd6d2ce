"""Compute the rollups of stored points again, in slices of bounded size.

This is safe while ingestors are running. Rows computed here get the version of the run's newest row at the start of its
rebuild, and the points are read after that. So they replace wrong rows, but never rows that an ingestor computes in the
meantime.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import RUNS_CONDITION, RUNS_PARAMETER
from stepwell_schemas.rollups.sql import (
    LEVELS,
    SERIES,
    TABLE,
    VALUES,
    bucket_sql,
    closed,
    computed,
    level_below,
    storing,
)
from stepwell_schemas.rules.identifiers import RunPath

PIECE_POINTS: Final = 1_000_000
"""Points, or rows of the level below, read by one statement: at worst a bucket each, and half a GB in the engine."""

_PIECE_RUNS: Final = 200
_SPILL_BYTES: Final = 1_000_000_000
_VERSION: Final = f"{{versions:Array(UInt64)}}[indexOf({RUNS_PARAMETER}, (entity, project, run_id))]"
BUCKET_ID: Final = f"{SERIES}, bucket"
_REACHED: Final = (
    f"(SELECT {SERIES}, reached, raw_from, curves_from FROM"
    f" (SELECT {SERIES}, max(last_step) AS reached FROM {{db}}.series WHERE kind = 'number' AND {RUNS_CONDITION}"
    f" GROUP BY {SERIES}) AS s LEFT JOIN (SELECT * FROM {{db}}.retention WHERE {RUNS_CONDITION}) AS r"
    " USING (entity, project, run_id, writer)) AS reached_by"
)


class Scope(NamedTuple):
    """A selection of runs: all, those of a project, or a single one."""

    entity: str = ""
    project: str = ""
    run_id: str = ""

    @property
    def condition(self) -> str:
        """The SQL condition for their rows; the scope's fields are its parameters."""
        chosen = [f"{name} = {{{name}:String}}" for name in self._fields if getattr(self, name)]
        return " AND ".join(chosen) or "1"


class Work(NamedTuple):
    """Runs that are processed together, their number of points, and their greatest last step."""

    runs: Sequence[RunPath]
    points: int
    last_step: int


class BucketRange(NamedTuple):
    """A range of buckets of a level, inclusive, that one statement computes from points or from the level below."""

    level: int
    below: int | None
    first: int
    last: int


def works(store: Store, scope: Scope) -> list[Work]:
    """Return the runs with numbers: small ones in groups, large ones alone. Raises: StoreError."""
    sql = (
        "SELECT entity, project, run_id, sum(points) AS points, max(last_step) AS last_step FROM"
        " (SELECT entity, project, run_id, max(last_step) AS last_step, argMax(totals.points, totals.end) AS points"
        f" FROM {{db}}.series WHERE kind = 'number' AND {scope.condition} GROUP BY {SERIES})"
        " GROUP BY entity, project, run_id ORDER BY ALL"
    )
    found: list[Work] = []
    for row in store.query(sql, scope._asdict()).to_pylist():
        one = Work([RunPath(row["entity"], row["project"], row["run_id"])], row["points"], row["last_step"])
        last = found[-1] if found else None
        if last and last.points + one.points <= PIECE_POINTS and len(last.runs) < _PIECE_RUNS:
            found[-1] = Work([*last.runs, *one.runs], last.points + one.points, max(last.last_step, one.last_step))
        else:
            found.append(one)
    return found


def fill(store: Store, work: Work) -> None:
    """Compute every closed bucket of some runs. Raises: StoreError."""
    versions = _versions(store, work)
    for buckets in bucket_ranges(store, work):
        _fill(store, buckets, range_parameters(work, buckets) | versions)


def fill_all(store: Store) -> None:
    """Compute every closed bucket of all runs. Raises: StoreError."""
    for work in works(store, Scope()):
        fill(store, work)


def rebuild(store: Store, work: Work) -> None:
    """Compute every closed bucket of some runs again, and delete rows without points. Raises: StoreError."""
    versions = _versions(store, work)
    for buckets in bucket_ranges(store, work):
        asked = range_parameters(work, buckets) | versions
        _fill(store, buckets, asked)
        # Look first: a deletion goes through all parts of the table, and it is hardly ever needed.
        if store.query(f"SELECT 1 FROM {{db}}.{TABLE} FINAL WHERE {_superfluous(buckets)} LIMIT 1", asked).num_rows:
            store.command(f"DELETE FROM {{db}}.{TABLE} WHERE {_superfluous(buckets)}", asked)


def _versions(store: Store, work: Work) -> dict[str, Any]:
    sql = (
        f"SELECT entity, project, run_id, max(version) AS version FROM {{db}}.{TABLE} WHERE {RUNS_CONDITION}"
        " GROUP BY entity, project, run_id"
    )
    rows = store.query(sql, {"runs": [tuple(run) for run in work.runs]}).to_pylist()
    newest = {(row["entity"], row["project"], row["run_id"]): row["version"] for row in rows}
    return {"versions": [newest.get(run, 0) for run in work.runs]}


def _fill(store: Store, buckets: BucketRange, asked: Mapping[str, Any]) -> None:
    store.command(
        f"{storing(computed_rows(buckets), _VERSION)}, max_bytes_before_external_group_by = {_SPILL_BYTES}", asked
    )


def bucket_ranges(store: Store, work: Work) -> Iterator[BucketRange]:
    """Yield the closed buckets, level by level, in slices of about PIECE_POINTS rows to read."""
    for level in LEVELS:
        end = closed(level, work.last_step)
        if end:
            whole = BucketRange(level, level_below(level), 0, end - 1)
            yield from [whole] if work.points <= PIECE_POINTS else _cut(store, work, whole)


def _cut(store: Store, work: Work, whole: BucketRange) -> Iterator[BucketRange]:
    table = "points_number WHERE 1" if whole.below is None else f"{TABLE} WHERE level = {whole.below}"
    rows_of = f"FROM {{db}}.{table} AND {_within(whole)}"
    asked = range_parameters(work, whole)
    rows = store.query(f"SELECT count() AS n {rows_of}", asked).column("n")[0].as_py()
    count = -(-rows // PIECE_POINTS)
    places = [number / count for number in range(1, count)]
    bucket = bucket_sql(whole.level, whole.below)
    cuts: list[float] = []
    if places:
        # Approximate quantiles of the rows, since steps may be distributed in any way.
        quantiles = f"quantilesDeterministic({', '.join(map(str, places))})({bucket}, sipHash64({bucket}))"
        cuts = store.query(f"SELECT {quantiles} AS cuts {rows_of}", asked).column("cuts")[0].as_py()
    first = whole.first
    for last in [*sorted({int(cut) for cut in cuts}), whole.last]:
        if last >= first:
            yield whole._replace(first=first, last=min(last, whole.last))
            first = last + 1


def range_parameters(work: Work, buckets: BucketRange) -> dict[str, Any]:
    """Return the parameters of a slice's statements."""
    return {"runs": [tuple(run) for run in work.runs], "first": buckets.first, "last": buckets.last}


def _within(buckets: BucketRange) -> str:
    return f"{RUNS_CONDITION} AND {bucket_sql(buckets.level, buckets.below)} BETWEEN {{first:Int64}} AND {{last:Int64}}"


def computed_rows(buckets: BucketRange, condition: str = "1") -> str:
    """Return the SELECT that computes the rows of closed buckets from the points or the level below."""
    rows = computed(buckets.level, buckets.below, f"{_within(buckets)} AND {condition}")
    return _before_end(buckets, f"({rows}) AS rows_of")


def _before_end(buckets: BucketRange, rows: str) -> str:
    columns = f"{SERIES}, level, bucket, {', '.join(VALUES)}"
    return (
        f"SELECT {columns} FROM {rows} INNER JOIN {_REACHED} USING ({SERIES})"
        f" WHERE bucket < bitShiftRight(reached, {buckets.level})"
        # Rows of buckets whose points, or rows of the level below, retention has removed can't be computed again.
        f" AND bitShiftLeft(bucket, {buckets.level}) >= {'raw_from' if buckets.below is None else 'curves_from'}"
    )


def stored_rows(buckets: BucketRange, condition: str = "1") -> str:
    """Return the SELECT of the stored rows of closed buckets."""
    rows = (
        f"(SELECT * FROM {{db}}.{TABLE} FINAL WHERE {RUNS_CONDITION} AND level = {buckets.level}"
        f" AND bucket BETWEEN {{first:Int64}} AND {{last:Int64}} AND {condition}) AS rows_of"
    )
    return _before_end(buckets, rows)


def _superfluous(buckets: BucketRange) -> str:
    """Return the condition for rows without points, among those that existed at the start of the rebuild."""
    source = "points_number" if buckets.below is None else f"{TABLE} FINAL"
    level = "1" if buckets.below is None else f"level = {buckets.below}"
    return (
        f"{RUNS_CONDITION} AND level = {buckets.level}"
        f" AND bucket BETWEEN {{first:Int64}} AND {{last:Int64}} AND version <= {_VERSION}"
        f" AND ({BUCKET_ID}) NOT IN (SELECT {SERIES}, {bucket_sql(buckets.level, buckets.below)} FROM {{db}}.{source}"
        f" WHERE {level} AND {_within(buckets)})"
        " AND (entity, project, run_id, writer) NOT IN"
        f" (SELECT entity, project, run_id, writer FROM {{db}}.retained_steps WHERE {RUNS_CONDITION})"
    )
