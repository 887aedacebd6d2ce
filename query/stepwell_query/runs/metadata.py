"""Reads the metadata of runs: their fields, definitions, config, and the summary set by hand."""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell_query.catalog.conditions import OF_RUN_IDS
from stepwell_query.runs.fields import ACTIVITY_JOIN, RUN_FIELDS, document_columns
from stepwell_schemas.clickhouse.store import Store

RunMetadata = Mapping[str, Any]
"""The metadata of one run: a row of the statements below."""

_FIELDS: Final = ", ".join(f"{field.sql} AS `{field.name}`" for field in RUN_FIELDS)

_DOCUMENTS: Final = f"""
SELECT
    {_FIELDS}, d.metric_definitions AS metric_definitions, if(a.flushes = 0, -1, a.last_offset) AS last_offset
FROM
(
    SELECT {", ".join(["metric_definitions", *document_columns(RUN_FIELDS)])}
    FROM {{db}}.run_documents FINAL WHERE {OF_RUN_IDS}
) AS d
{ACTIVITY_JOIN.replace("{runs}", OF_RUN_IDS)}
"""

_TEXTS: Final = f"""
SELECT run_id, config, summary FROM {{db}}.{{table}} WHERE {OF_RUN_IDS} ORDER BY version DESC LIMIT 1 BY run_id
"""


def read_metadata(
    store: Store, entity: str, project: str, run_ids: Sequence[str], alive_since: int
) -> list[RunMetadata]:
    """Return the metadata of a project's runs in the order of the ids; unknown ids are left out.

    Each has the fields of the registry by name, and JSON texts for the rest. `alive_since` is that of
    `rules.run_states`.

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
            texts |= {row["run_id"]: row for row in rows}
    run = {"entity": entity, "project": project}
    return [{**run, **found[run_id], **texts[run_id]} for run_id in run_ids if run_id in found]
