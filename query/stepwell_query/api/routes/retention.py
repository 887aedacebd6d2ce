"""Retention of projects: the policy, what it would remove now, and the passes that carried it out."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from stepwell_query.api.dependencies import Context, ContextDep
from stepwell_query.api.params.common import Parameters
from stepwell_query.encoding import json_bytes
from stepwell_query.errors import RequestError
from stepwell_schemas.access.audit import Action, AuditEntry
from stepwell_schemas.access.authorize import requires
from stepwell_schemas.access.expiry import format_time
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.routes import AccessRoute, IdentityDep
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.retention.policies import (
    REQUESTED,
    Pass,
    Project,
    StoredPolicy,
    read_passes,
    read_policy,
    write_pass,
    write_policy,
)
from stepwell_schemas.retention.policy import Policy, build_policy, describe_policy
from stepwell_schemas.retention.preview import preview
from stepwell_schemas.rules.identifiers import check_identifier

router = APIRouter(prefix="/api/v1/projects/{entity}/{project}/retention", tags=["retention"], route_class=AccessRoute)

_SHOWN_PASSES: Final = 20
_TEXT_MAX: Final = 100
_REMEDY: Final = "set one with PUT, or `stepwell retention set`"


class RetentionBody(Parameters):
    """The body of PUT retention, and of a preview: periods such as `90d`, `12w`, `36h`, or `forever`."""

    raw: str = Field(
        "forever",
        max_length=_TEXT_MAX,
        description="Values of the kinds number, string, bool and other, by their own times.",
    )
    rollups: str = Field(
        "forever", max_length=_TEXT_MAX, description="Buckets of numbers, from which older curves are drawn."
    )
    media: str = Field(
        "forever", max_length=_TEXT_MAX, description="Media files, by the last value that refers to them."
    )

    def policy(self) -> Policy:
        """Return the policy. Raises: RetentionError."""
        return build_policy(self.raw, self.rollups, self.media)


@router.get("")
@requires(Scope.ADMIN)
async def show(entity: str, project: str, context: ContextDep) -> Response:
    """Return the policy of a project, null if it has none, and the last passes of the worker over it.

    `rows` and `bytes` of a pass are values and buckets that it deleted, `late_rows` those among them that had arrived
    below a boundary, `files` media files that it released. A pass in the state `requested` has not begun.
    """
    found = _checked(entity, project)

    def read() -> dict[str, Any]:
        passes = read_passes(context.store, found, _SHOWN_PASSES)
        stored = read_policy(context.store, found)
        return {**_described(found, stored), "passes": [_pass_json(one) for one in passes]}

    return _json(await context.in_thread(read))


@router.put("")
@requires(Scope.ADMIN)
async def set_policy(
    entity: str, project: str, body: RetentionBody, context: ContextDep, identity: IdentityDep, request: Request
) -> Response:
    """Set the policy of a project, which replaces the one before. The worker carries it out at its next pass."""
    found, policy = _checked(entity, project), body.policy()
    await context.in_thread(write_policy, context.store, found, policy, identity.name, _now())
    _record(context, request, identity, Action.RETENTION_SET, found, describe_policy(policy))
    return _json(await context.in_thread(lambda: _described(found, read_policy(context.store, found))))


@router.delete("")
@requires(Scope.ADMIN)
async def unset_policy(
    entity: str, project: str, context: ContextDep, identity: IdentityDep, request: Request
) -> Response:
    """Take the policy of a project back: nothing more is removed. Repeating it changes nothing."""
    found = _checked(entity, project)
    await context.in_thread(write_policy, context.store, found, None, identity.name, _now())
    _record(context, request, identity, Action.RETENTION_SET, found, {})
    return _json(_described(found, None))


@router.post("/preview")
@requires(Scope.ADMIN)
async def preview_policy(entity: str, project: str, body: RetentionBody, context: ContextDep) -> Response:
    """Return what a policy would remove now: rows and bytes by table, runs, and media files. Nothing is changed.

    Rows are counted. Bytes are the rows' share of the compressed bytes of their table.
    """
    found, policy = _checked(entity, project), body.policy()
    return _json(await context.in_thread(_preview, context.store, found, policy))


@router.post("/run")
@requires(Scope.ADMIN)
async def run_policy(
    entity: str, project: str, context: ContextDep, identity: IdentityDep, request: Request
) -> Response:
    """Request a pass over the project, which the worker of an ingestor makes within about a minute.

    The pass records which rows go; they are deleted some minutes later (`STEPWELL_RETENTION_SETTLE_SECONDS`).
    """
    found = _checked(entity, project)
    stored = await context.in_thread(read_policy, context.store, found)
    if stored is None:
        raise RequestError("project", project, "has no retention policy", _REMEDY)
    requested = Pass(_now(), identity.name, REQUESTED)
    await context.in_thread(write_pass, context.store, found, requested)
    _record(context, request, identity, Action.RETENTION_RUN, found, describe_policy(stored.policy))
    return _json({"requested_at": format_time(requested.started_at), **_described(found, stored)})


def _checked(entity: str, project: str) -> Project:
    check_identifier("entity", entity)
    check_identifier("project", project)
    return Project(entity, project)


def _preview(store: Store, project: Project, policy: Policy) -> dict[str, Any]:
    found = preview(store, project, policy, _now())
    return {
        **project._asdict(),
        "policy": describe_policy(policy),
        "runs": found.runs,
        "rows": sum(table.rows for table in found.tables),
        "bytes": sum(table.bytes for table in found.tables),
        "tables": {table.table: {"rows": table.rows, "bytes": table.bytes} for table in found.tables},
        "files": found.files,
        "file_bytes": found.file_bytes,
    }


def _described(project: Project, stored: StoredPolicy | None) -> dict[str, Any]:
    if stored is None:
        return {**project._asdict(), "policy": None}
    more = {"set_by": stored.set_by, "set_at": format_time(stored.set_at)}
    return {**project._asdict(), "policy": describe_policy(stored.policy), **more}


def _pass_json(made: Pass) -> dict[str, Any]:
    times = {"started_at": format_time(made.started_at), "finished_at": format_time(made.finished_at)}
    return {**asdict(made), **times}


def _record(
    context: Context,
    request: Request,
    identity: Identity,
    action: Action,
    project: Project,
    detail: dict[str, str],
) -> None:
    address = request.client.host if request.client else ""
    entry = AuditEntry.by(identity, action, **project._asdict(), address=address, detail=detail)
    context.audit.record(entry)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _json(value: dict[str, Any]) -> Response:
    return Response(json_bytes(value), media_type="application/json", headers={"cache-control": "no-store"})
