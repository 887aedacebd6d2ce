"""The audit log, for administrators of the data that its entries concern."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from stepwell_query.api.dependencies import ContextDep
from stepwell_query.api.params.audit import AuditQuery
from stepwell_query.catalog.audit_entries import list_entries
from stepwell_query.encoding import json_bytes
from stepwell_schemas.access.authorize import Target, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.routes import AccessRoute, IdentityDep

router = APIRouter(prefix="/api/v1", tags=["access"], route_class=AccessRoute)


@router.get("/audit")
@requires(Scope.ADMIN, Target.ANYTHING)
async def audit(query: Annotated[AuditQuery, Query()], context: ContextDep, identity: IdentityDep) -> Response:
    """List who did what, newest first, in pages: of the data that the key administers.

    `next` is the cursor of the following page, null on the last one.
    """
    page = await context.in_thread(list_entries, context.store, query.to_filter(), identity.resources(Scope.ADMIN))
    return Response(json_bytes({"entries": page.entries, "next": page.next}), media_type="application/json")
