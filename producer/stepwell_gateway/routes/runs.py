"""Changes of stored runs: edits, requests to stop, and deletion; each is an event of the log.

The answer comes when the brokers have acknowledged the events. With `wait`, it comes when the ingestors have stored
them, or after so many seconds: `stored` says which.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from stepwell_gateway.apply import ChangesDep
from stepwell_gateway.changes import RunChange, RunsBody, RunsChangeBody
from stepwell_schemas.access.authorize import requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.routes import AccessRoute

RUN: Final = "/api/v1/runs/{entity}/{project}/{run_id}"
PROJECT: Final = "/api/v1/projects/{entity}/{project}"

_WAIT_SECONDS: Final = 60.0

Wait = Annotated[
    float,
    Query(ge=0, le=_WAIT_SECONDS, description="Seconds to wait until the change is stored; 0: do not wait."),
]
DryRun = Annotated[bool, Query(description="Delete nothing, and answer what would go.")]

router = APIRouter(tags=["changes"], route_class=AccessRoute)


@router.patch(RUN)
@requires(Scope.WRITE)
async def edit_run(
    entity: str, project: str, run_id: str, change: RunChange, changes: ChangesDep, wait: Wait = 0
) -> dict[str, Any]:
    """Change a run's name, notes, tags, group, job type, config or summary.

    Of each field, the last change in the log holds, whether it was made here or by the run itself. A running SDK sends
    only what its script sets, so an edit stays until the script sets the same field.
    """
    return await changes.edit(entity, project, [run_id], change, wait)


@router.patch(f"{PROJECT}/runs")
@requires(Scope.WRITE)
async def edit_runs(
    entity: str, project: str, body: RunsChangeBody, changes: ChangesDep, wait: Wait = 0
) -> dict[str, Any]:
    """Change some runs of a project alike; none of them is changed if one does not exist."""
    return await changes.edit(entity, project, body.run_ids, body.change, wait)


@router.post(f"{RUN}/stop")
@requires(Scope.WRITE)
async def stop_run(entity: str, project: str, run_id: str, changes: ChangesDep, wait: Wait = 0) -> dict[str, Any]:
    """Ask a run to stop: its SDK sees it at its next request, and `run.stop_requested` is true.

    A later start of the run takes the request back.
    """
    return await changes.stop(entity, project, [run_id], wait)


@router.post(f"{PROJECT}/runs/stop")
@requires(Scope.WRITE)
async def stop_runs(entity: str, project: str, body: RunsBody, changes: ChangesDep, wait: Wait = 0) -> dict[str, Any]:
    """Ask some runs of a project to stop; none of them is asked if one does not exist."""
    return await changes.stop(entity, project, body.run_ids, wait)


@router.delete(RUN)
@requires(Scope.WRITE)
async def delete_run(
    entity: str, project: str, run_id: str, changes: ChangesDep, dry_run: DryRun = False, wait: Wait = 0
) -> dict[str, Any]:
    """Delete a run with all its values, for good. Records that it still sends are dropped.

    `rows` and `bytes` say what goes, also for each of the `tables`. Media files that no other run refers to go after a
    grace time.
    """
    return await changes.delete(entity, project, [run_id], wait, dry_run=dry_run)


@router.post(f"{PROJECT}/runs/delete")
@requires(Scope.WRITE)
async def delete_runs(
    entity: str, project: str, body: RunsBody, changes: ChangesDep, dry_run: DryRun = False, wait: Wait = 0
) -> dict[str, Any]:
    """Delete some runs of a project; none of them is deleted if one does not exist."""
    return await changes.delete(entity, project, body.run_ids, wait, dry_run=dry_run)


@router.delete(PROJECT)
@requires(Scope.ADMIN)
async def delete_project(
    entity: str, project: str, changes: ChangesDep, dry_run: DryRun = False, wait: Wait = 0
) -> dict[str, Any]:
    """Delete all runs of a project, for good, each by an event of its own. Requires the scope `admin`."""
    return await changes.delete_project(entity, project, wait, dry_run=dry_run)
