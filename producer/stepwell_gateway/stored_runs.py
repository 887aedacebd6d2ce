"""Reads in ClickHouse for the gateway: which runs exist, and how far the log is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stepwell_gateway.errors import RunsNotFoundError
from stepwell_gateway.event_log import Position
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import PROJECT_CONDITION, PROJECT_RUNS_CONDITION
from stepwell_schemas.rules.identifiers import RunPath

_SOME: Final = f"SELECT DISTINCT run_id FROM {{db}}.run_documents WHERE {PROJECT_RUNS_CONDITION}"  # noqa: S608
_ALL: Final = f"SELECT DISTINCT run_id FROM {{db}}.run_documents WHERE {PROJECT_CONDITION} ORDER BY run_id"  # noqa: S608
_ENDS: Final = "SELECT partition, end_offset FROM {db}.log_positions FINAL WHERE topic = {topic:String}"


def require_runs(store: Store, entity: str, project: str, run_ids: Sequence[str]) -> list[RunPath]:
    """Return the paths of some runs of a project, each once.

    Raises:
        IdentifierError: if an id is invalid. RunsNotFoundError: if a run does not exist. StoreError.
    """
    paths = [RunPath.checked(entity, project, run_id) for run_id in dict.fromkeys(run_ids)]
    parameters = {"entity": entity, "project": project, "run_ids": [path.run_id for path in paths]}
    known = set(store.query(_SOME, parameters).column("run_id").to_pylist())
    missing = [path for path in paths if path.run_id not in known]
    if missing:
        raise RunsNotFoundError(missing)
    return paths


def project_runs(store: Store, entity: str, project: str) -> list[RunPath]:
    """Return the paths of all runs of a project. Raises: IdentifierError, StoreError."""
    path = RunPath.checked(entity, project, "-")
    rows = store.query(_ALL, {"entity": entity, "project": project})
    return [path._replace(run_id=run_id) for run_id in rows.column("run_id").to_pylist()]


def are_stored(store: Store, topic: str, positions: Sequence[Position]) -> bool:
    """Return whether the ingestors have stored the events at some positions of a topic. Raises: StoreError."""
    rows = store.query(_ENDS, {"topic": topic}).to_pylist()
    ends = {int(row["partition"]): int(row["end_offset"]) for row in rows}
    return all(ends.get(partition, 0) > offset for partition, offset in positions)
