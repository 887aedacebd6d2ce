"""What the service says of a run, made of its stored document, its activity and its series."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from stepwell_query.encoding import NotFinite
from stepwell_query.errors import RunNotFoundError
from stepwell_query.runs.metadata import Row, read_documents
from stepwell_query.runs.summary_reader import read_summaries
from stepwell_query.stored_json import object_fragment, stored_definitions, unreadable
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key


def read_run(store: Store, run: RunPath, odd: NotFinite = NotFinite.TEXT) -> dict[str, Any]:
    """Return the RunInfo of one run.

    Raises:
        RunNotFoundError: when there is no such run.
        StoreError: when ClickHouse does not answer.
    """
    documents = read_documents(store, run.entity, run.project, [run.run_id])
    if not documents:
        raise RunNotFoundError(run)
    return run_infos(store, documents, odd)[0]


def run_infos(
    store: Store,
    documents: Sequence[Row],
    odd: NotFinite = NotFinite.TEXT,
    keys: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the RunInfos of runs of one project, of their documents.

    Args:
        keys: the metrics whose summary is wanted, as they are stored; None: all.

    Raises:
        StoreError: when ClickHouse does not answer.
    """
    summaries = read_summaries(store, documents, odd, keys)
    return [_run_info(document, summaries[document["run_id"]]) for document in documents]


def _run_info(row: Row, summary: Mapping[str, Any]) -> dict[str, Any]:
    run = RunPath(row["entity"], row["project"], row["run_id"])
    logged = row["log_rows"] > 0
    return {
        **run._asdict(),
        "path": str(run),
        "name": row["name"],
        "state": row["state"],
        "exit_code": row["exit_code"],
        "config": object_fragment(row["config"]),
        "summary": summary,
        "tags": row["tags"],
        "notes": row["notes"],
        "group": row["run_group"],
        "job_type": row["job_type"],
        "client": row["client"],
        "host": row["host"],
        "created_at": iso_time(row["created_at"]),
        "started_at": iso_time(row["started_at"]),
        "finished_at": iso_time(row["finished_at"]),
        "heartbeat_at": iso_time(row["heartbeat_at"]),
        "last_step": row["last_step"] if logged else -1,
        "points": row["points"],
        "log_rows": row["log_rows"],
        "step_conflicts": row["step_conflicts"],
        "metric_definitions": [
            {**definition, "folded": fold_key(definition["name"])}
            for definition in stored_definitions(row["metric_definitions"])
        ],
        "unreadable": unreadable(row),
        "complete_to": {"step": row["last_step"] if logged else -1, "offset": row["last_offset"]},
    }


def iso_time(milliseconds: int | None) -> str | None:
    """Return a time as RFC 3339 text in UTC with milliseconds."""
    if milliseconds is None:
        return None
    text = datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
