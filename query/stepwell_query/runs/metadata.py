"""Reads the metadata of runs: their fields, definitions, config, and the summary set by hand."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell_query.catalog.conditions import OF_RUN_IDS
from stepwell_query.runs.fields import ACTIVITY, ACTIVITY_JOIN, RUN_FIELDS, document_columns
from stepwell_schemas.clickhouse.store import Store

RunMetadata = Mapping[str, Any]
"""The metadata of one run: a row of the statements below."""

ActivityMark = Any
"""The totals of a run's activity. Every flush changes it, since it has the offset of the last one."""

# FINAL merges the rows of all runs near the requested ones; this sorts their own.
_NEWEST: Final = "ORDER BY version DESC LIMIT 1 BY run_id"
_FIELDS: Final = ", ".join(f"{field.sql} AS `{field.name}`" for field in RUN_FIELDS)
_MARK: Final = (
    "(a.last_offset, a.log_rows, a.points, a.conflicts, a.last_step, toUnixTimestamp64Milli(a.last_timestamp),"
    " a.rebuilt_at)"
)

_MARKS: Final = f"SELECT run_id, {_MARK} AS mark FROM ({ACTIVITY.replace('{runs}', OF_RUN_IDS)}) AS a"

_DOCUMENTS: Final = f"""
SELECT
    {_FIELDS}, d.metric_definitions AS metric_definitions, if(a.flushes = 0, -1, a.last_offset) AS last_offset,
    d.version AS version, {_MARK} AS mark
FROM
(
    SELECT {", ".join(["metric_definitions", "version", *document_columns(RUN_FIELDS)])}
    FROM {{db}}.run_documents PREWHERE {OF_RUN_IDS} {_NEWEST}
) AS d
{ACTIVITY_JOIN.replace("{runs}", OF_RUN_IDS)}
"""

_TEXTS: Final = f"""
SELECT run_id, config, summary, version FROM {{db}}.{{table}} PREWHERE {OF_RUN_IDS} {_NEWEST}
"""


def read_marks(store: Store, entity: str, project: str, run_ids: Sequence[str]) -> dict[str, ActivityMark]:
    """Return the totals of the activity of runs, as the `mark` of their metadata; runs without any are left out.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    parameters = {"entity": entity, "project": project, "run_ids": list(run_ids)}
    return {row["run_id"]: row["mark"] for row in store.query(_MARKS, parameters).to_pylist()}


def read_metadata(
    store: Store, entity: str, project: str, run_ids: Sequence[str], alive_since: int
) -> list[RunMetadata]:
    """Return the metadata of a project's runs in the order of the ids; unknown ids are left out.

    Each has the fields of the registry by name, JSON texts, the `version` of its document, and the `mark` of its
    activity. `alive_since` is that of `rules.run_states`.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    if not run_ids:
        return []
    parameters = {"entity": entity, "project": project, "run_ids": list(run_ids)}
    found = {
        row["run_id"]: row for row in store.query(_DOCUMENTS, {**parameters, "alive_since": alive_since}).to_pylist()
    }
    texts: dict[str, RunMetadata] = {}
    # The view that fills the first table may lag by a moment.
    for table in ("run_texts", "run_documents"):
        missing = {**parameters, "run_ids": [run_id for run_id in found if run_id not in texts]}
        if missing["run_ids"]:
            rows = store.query(_TEXTS.replace("{table}", table), missing).to_pylist()
            texts |= {row["run_id"]: row for row in rows if row["version"] >= found[row["run_id"]]["version"]}
    run = {"entity": entity, "project": project}
    return [
        {**run, **found[run_id], "config": texts[run_id]["config"], "summary": texts[run_id]["summary"]}
        for run_id in run_ids
        if run_id in texts
    ]
