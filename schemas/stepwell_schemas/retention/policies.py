"""Stored policies, and the passes of the worker over projects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import PROJECT_CONDITION
from stepwell_schemas.retention.policy import FOREVER, Policy

REQUESTED: Final = "requested"
"""The state of a request for a pass."""

DONE: Final = "done"
FAILED: Final = "failed"

_POLICIES: Final = (
    "SELECT entity, project, raw_ms, rollups_ms, media_ms, set_by, set_at FROM {db}.retention_policies FINAL"
    " WHERE active = 1"
)
_PASSES: Final = (
    "SELECT entity, project, maxIf(started_at, state != 'requested') AS started,"
    " maxIf(started_at, state = 'requested') AS requested FROM {db}.retention_runs GROUP BY entity, project"
)
_RECENT: Final = (
    f"SELECT * EXCEPT (entity, project) FROM {{db}}.retention_runs FINAL WHERE {PROJECT_CONDITION}"  # noqa: S608
    " ORDER BY started_at DESC, worker LIMIT {limit:UInt32}"
)


class Project(NamedTuple):
    """A project."""

    entity: str
    project: str


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy, and who set it when (milliseconds since the epoch)."""

    policy: Policy
    set_by: str
    set_at: int


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass over a project, or a request for one. Times are milliseconds since the epoch.

    Attributes:
        rows, bytes: values and buckets that were removed, and the bytes that they took.
        late_rows: those of the rows that had arrived below the boundary after it was recorded.
        files, file_bytes: media files that are not kept any more, and their bytes.
    """

    started_at: int
    worker: str
    state: str
    finished_at: int = 0
    rows: int = 0
    bytes: int = 0
    late_rows: int = 0
    files: int = 0
    file_bytes: int = 0
    error: str = ""


class PassTimes(NamedTuple):
    """The last start of a pass over a project, and the last request for one; 0 for never."""

    started: int = 0
    requested: int = 0


def read_policies(store: Store) -> dict[Project, StoredPolicy]:
    """Return the policies by project. Raises: StoreError."""
    return {
        Project(row["entity"], row["project"]): StoredPolicy(
            Policy(row["raw_ms"], row["rollups_ms"], row["media_ms"]), row["set_by"], row["set_at"]
        )
        for row in store.query(_POLICIES).to_pylist()
    }


def read_policy(store: Store, project: Project) -> StoredPolicy | None:
    """Return the policy of a project, None if it has none. Raises: StoreError."""
    return read_policies(store).get(project)


def write_policy(store: Store, project: Project, policy: Policy | None, set_by: str, now: int) -> None:
    """Set the policy of a project, or take it back with None. Raises: StoreError."""
    periods = policy or Policy(FOREVER, FOREVER, FOREVER)
    row: dict[str, Any] = {
        **project._asdict(),
        "raw_ms": periods.raw,
        "rollups_ms": periods.rollups,
        "media_ms": periods.media,
        "active": int(policy is not None),
        "set_by": set_by,
        "set_at": now,
    }
    store.insert("retention_policies", pa.Table.from_pylist([row]))


def read_pass_times(store: Store) -> dict[Project, PassTimes]:
    """Return the last starts and requests by project. Raises: StoreError."""
    return {
        Project(row["entity"], row["project"]): PassTimes(row["started"], row["requested"])
        for row in store.query(_PASSES).to_pylist()
    }


def read_passes(store: Store, project: Project, limit: int) -> list[Pass]:
    """Return the newest passes and requests of a project, the newest first. Raises: StoreError."""
    rows = store.query(_RECENT, {**project._asdict(), "limit": limit}).to_pylist()
    return [Pass(**row) for row in rows]


def write_pass(store: Store, project: Project, made: Pass) -> None:
    """Store a pass; one with the same start and worker replaces it. Raises: StoreError."""
    store.insert("retention_runs", pa.Table.from_pylist([{**project._asdict(), **asdict(made)}]))
