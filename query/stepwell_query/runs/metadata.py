"""What is stored of runs besides their values: their documents, and their activity."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import PROJECT_RUNS_CONDITION

Row = Mapping[str, Any]

OF_RUNS: Final = PROJECT_RUNS_CONDITION
"""The condition of several runs of one project."""

_DOCUMENTS: Final = f"""
SELECT
    d.entity AS entity, d.project AS project, d.run_id AS run_id,
    if(d.display_name = '', d.run_id, d.display_name) AS name,
    d.state AS state, d.exit_code AS exit_code, d.tags AS tags,
    d.notes AS notes, d.run_group AS run_group, d.job_type AS job_type,
    d.metric_definitions AS metric_definitions, d.client AS client, d.host AS host,
    toUnixTimestamp64Milli(d.created_at) AS created_at,
    toUnixTimestamp64Milli(d.started_at) AS started_at,
    toUnixTimestamp64Milli(d.finished_at) AS finished_at,
    greatest(toUnixTimestamp64Milli(d.started_at), a.last_timestamp) AS heartbeat_at,
    a.last_step AS last_step, a.log_rows AS log_rows, a.points AS points, a.conflicts AS step_conflicts,
    if(a.flushes = 0, -1, a.last_offset) AS last_offset
FROM (SELECT * FROM {{db}}.run_documents FINAL WHERE {OF_RUNS}) AS d
LEFT JOIN
(
    SELECT
        run_id, max(last_step) AS last_step, sum(log_rows) AS log_rows, sum(points) AS points, count() AS flushes,
        sum(conflicts) AS conflicts, max(last_offset) AS last_offset,
        toUnixTimestamp64Milli(max(last_timestamp)) AS last_timestamp
    FROM {{db}}.run_activity WHERE {OF_RUNS} GROUP BY run_id
) AS a USING (run_id)
"""

_TEXTS: Final = f"""
SELECT run_id, config, summary FROM {{db}}.{{table}} WHERE {OF_RUNS} ORDER BY version DESC LIMIT 1 BY run_id
"""


def read_documents(store: Store, entity: str, project: str, run_ids: Sequence[str]) -> list[Row]:
    """Return the documents of a project's runs with their activity, in the order of the ids; unknown ids are left out.

    Times are milliseconds since the epoch, config and the summary set by hand JSON.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    if not run_ids:
        return []
    among = {"entity": entity, "project": project, "run_ids": list(run_ids)}
    found = {row["run_id"]: row for row in store.query(_DOCUMENTS, among).to_pylist()}
    texts: dict[str, Row] = {}
    # The view that fills the first table may be a moment behind.
    for table in ("run_texts", "run_documents"):
        missing = {**among, "run_ids": [run_id for run_id in found if run_id not in texts]}
        if missing["run_ids"]:
            rows = store.query(_TEXTS.replace("{table}", table), missing).to_pylist()
            texts |= {row["run_id"]: row for row in rows}
    return [{**found[run_id], **texts[run_id]} for run_id in run_ids if run_id in found]
