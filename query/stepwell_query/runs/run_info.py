"""A run as the service's JSON: fields, config, summary and progress."""

from __future__ import annotations

from typing import Any

from stepwell_query.encoding import NotFinite
from stepwell_query.errors import RunNotFoundError
from stepwell_query.runs.fields import RUN_FIELDS
from stepwell_query.runs.metadata import RunMetadata, read_metadata
from stepwell_query.runs.summary_reader import Summary, read_summaries
from stepwell_query.stored_json import json_object, object_fragment, stored_definitions, unreadable
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key


def read_run(store: Store, run: RunPath, alive_since: int, not_finite: NotFinite = NotFinite.TEXT) -> dict[str, Any]:
    """Return the JSON of one run; `summary_set` lists the keys of the summary that were set by hand.

    Args:
        alive_since: of the rule of served states (`rules.run_states`).

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    documents = read_metadata(store, run.entity, run.project, [run.run_id], alive_since)
    if not documents:
        raise RunNotFoundError(run)
    summary = read_summaries(store, documents, not_finite)[run.run_id]
    return {**build_run_info(documents[0], summary), "summary_set": list(json_object(documents[0]["summary"]))}


def build_run_info(row: RunMetadata, summary: Summary) -> dict[str, Any]:
    """Return the JSON of a run from its metadata and summary."""
    run = RunPath(row["entity"], row["project"], row["run_id"])
    fields = {field.json_name: field.to_json(row[field.name]) for field in RUN_FIELDS}
    return {
        **run._asdict(),
        "path": str(run),
        **fields,
        "config": object_fragment(row["config"]),
        "summary": summary,
        "metric_definitions": [
            {**definition, "folded": fold_key(definition["name"])}
            for definition in stored_definitions(row["metric_definitions"])
        ],
        "unreadable": unreadable(row),
        "complete_to": {"step": fields["last_step"], "offset": row["last_offset"]},
    }
