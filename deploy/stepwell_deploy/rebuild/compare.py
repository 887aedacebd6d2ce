"""Statements that compare two databases of one ClickHouse over their public views."""

# ruff: noqa: S608 - statements are put together from constants and checked names; values travel as parameters.

from __future__ import annotations

from typing import Final

from stepwell_deploy.rebuild.report import POINT_VIEWS, Cells, Outline, Outlines
from stepwell_ingestor.verify.fingerprints import VIEWS
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import RUN_CONDITION
from stepwell_schemas.rollups.sql import DIGEST, SERIES
from stepwell_schemas.rules.identifiers import RunPath

_OUTLINED: Final = (*POINT_VIEWS, "metrics", "runs", "step_conflicts")
# All columns by their bits, so that NaN equals itself, and 0 differs from -0.
_OUTLINE: Final = (
    "SELECT toString(entity) AS entity, toString(project) AS project, toString(run_id) AS run_id, count() AS rows,"
    " sum(cityHash64(formatRow('RowBinary', *))) AS digest FROM {db}.{view} WHERE {condition}"
    " GROUP BY entity, project, run_id"
)
# Rows of buckets that are not closed depend on how the log was divided into flushes.
_ROLLUPS: Final = (
    "SELECT toString(entity) AS entity, toString(project) AS project, toString(run_id) AS run_id, count() AS rows,"
    f" sum(cityHash64(key, writer, level, bucket, {DIGEST})) AS digest"
    " FROM (SELECT * FROM {db}.rollups FINAL WHERE {condition}) AS rolled"
    f" INNER JOIN (SELECT {SERIES}, max(last_step) AS reached FROM {{db}}.series"
    f" WHERE kind = 'number' AND {{condition}} GROUP BY {SERIES}) AS reached_by USING ({SERIES})"
    " WHERE bucket < bitShiftRight(reached, level) GROUP BY entity, project, run_id"
)
_SPILL: Final = "SETTINGS max_bytes_before_external_group_by = 1000000000"


def read_outlines(store: Store, run: RunPath | None) -> dict[RunPath, Outlines]:
    """Return the outlines of all runs of a database, or of one. Raises: StoreError."""
    condition, parameters = ("1", {}) if run is None else (RUN_CONDITION, run._asdict())
    statements = {view: _OUTLINE.replace("{view}", view) for view in _OUTLINED} | {"rollups": _ROLLUPS}
    found: dict[RunPath, dict[str, Outline]] = {}
    for name, statement in statements.items():
        for row in store.query(statement.replace("{condition}", condition), parameters).to_pylist():
            path = RunPath(row["entity"], row["project"], row["run_id"])
            found.setdefault(path, {})[name] = Outline(row["rows"], row["digest"])
    return dict(found)


def read_cells(store: Store, rebuilt: str, run: RunPath) -> Cells:
    """Compare the values of one run in the store's database and in the database `rebuilt`. Raises: StoreError."""
    sides = " UNION ALL ".join(
        f"SELECT toString(key) AS key, {kind} AS kind, step, {digest} AS hash, {side} AS side"
        f" FROM {database}.{view} WHERE {RUN_CONDITION}"
        for view, kind, digest in VIEWS
        for side, database in enumerate(("{db}", f"`{rebuilt}`"))
    )
    statement = (
        "SELECT countIf(sides = [0]) AS lost, countIf(sides = [1]) AS gained,"
        " countIf(length(sides) = 2 AND hashes > 1) AS changed FROM"
        " (SELECT arraySort(groupUniqArray(side)) AS sides, uniqExact(hash) AS hashes"
        f" FROM ({sides}) GROUP BY key, kind, step) {_SPILL}"
    )
    (row,) = store.query(statement, run._asdict()).to_pylist()
    return Cells(**row)
