"""API keys for administrators, and the identity of the request itself."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field

from stepwell_query.api.dependencies import Context, ContextDep
from stepwell_query.api.params.common import Parameters
from stepwell_query.encoding import json_bytes
from stepwell_query.errors import KeyNotFoundError, RequestError
from stepwell_schemas.access.audit import Action, AuditEntry
from stepwell_schemas.access.authorize import Target, requires
from stepwell_schemas.access.expiry import parse_expiry
from stepwell_schemas.access.grants import Grant, Scope
from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.access.key_rules import (
    FIRST_KEY_RULE,
    describe_identity,
    describe_key,
    is_full_admin,
    may_manage,
    missing_grants,
    parse_grants,
)
from stepwell_schemas.access.key_store import epoch_ms
from stepwell_schemas.access.keys import ApiKey
from stepwell_schemas.access.refusals import forbidden
from stepwell_schemas.access.routes import AccessRoute, IdentityDep, to_response
from stepwell_schemas.limits import KEY_GRANTS_MAX, KEY_TEXT_MAX_CHARS

router = APIRouter(prefix="/api/v1", tags=["access"], route_class=AccessRoute)

_FIRST_OWNER: Final = "admin"
_TEXT_MAX: Final = 1_000
"""Characters of any text of a body, longer than every valid one, so that the rules of fields report errors."""


class KeyBody(Parameters):
    """The body of POST keys."""

    scopes: list[str] = Field(
        min_length=1,
        max_length=KEY_GRANTS_MAX,
        description="What the key may do: `read`, `write` or `admin` over all data, an entity or a project. Each"
        " includes those before it.",
        examples=[["write:my-team/digits", "read:my-team"]],
    )
    name: str = Field(
        "", max_length=_TEXT_MAX, description=f"The purpose of the key, {KEY_TEXT_MAX_CHARS} characters at most."
    )
    owner: str = Field(
        "", max_length=_TEXT_MAX, description="The user who acts with the key. Default: the one who creates it."
    )
    expires: str = Field(
        "",
        max_length=_TEXT_MAX,
        description="The time from which the key is not valid: a duration such as `30d`, or a time such as"
        " `2027-01-31T12:00:00Z`. Default: never.",
    )


@router.get("/whoami")
@requires(Scope.READ, Target.ANYTHING)
async def whoami(identity: IdentityDep) -> Response:
    """Return the identity of the request: name, method and scopes; `open` if the service requires no key."""
    return _json({**describe_identity(identity), "open": identity.method is Method.OPEN})


@router.get("/keys")
@requires(Scope.ADMIN, Target.ANYTHING)
async def keys(context: ContextDep, identity: IdentityDep) -> Response:
    """List the keys within the resources that the identity administers, in the order of their creation.

    `state` is `valid`, `expired` or `revoked`; `last_used` is exact to a minute. Texts of keys are not stored.
    """
    listed = await context.in_thread(context.authenticator.keys.store.list)
    now = epoch_ms()
    return _json({"keys": [describe_key(key, now) for key in listed if may_manage(identity, key.grants)]})


@router.post("/keys", status_code=201)
@requires(Scope.ADMIN, Target.ANYTHING)
async def create_key(body: KeyBody, context: ContextDep, identity: IdentityDep, request: Request) -> Response:
    """Create a key; `key` is its text, which no later request returns.

    Each of its scopes must be over a resource that the identity administers. The first key of a service without access
    control turns it on, and must have the scope `admin:*`.
    """
    grants = parse_grants(body.scopes)
    missing = missing_grants(identity, grants)
    if missing:
        return to_response(forbidden(identity, Scope.ADMIN, *missing[0].resource))
    await _check_first(context, grants)
    expires = parse_expiry(body.expires, epoch_ms())
    owner = body.owner or (_FIRST_OWNER if identity.method is Method.OPEN else identity.name)
    store = context.authenticator.keys.store
    created, key = await context.in_thread(store.create, body.name or owner, owner, grants, expires)
    context.authenticator.keys.cache.forget()
    _record(context, request, identity, Action.KEY_CREATE, key, 201)
    return _json({"key": created.text, **describe_key(key, epoch_ms())}, 201)


@router.delete("/keys/{key_id}")
@requires(Scope.ADMIN, Target.ANYTHING)
async def revoke_key(
    key_id: Annotated[str, Path(max_length=_TEXT_MAX)], context: ContextDep, identity: IdentityDep, request: Request
) -> Response:
    """Revoke a key for ever, and return it; within seconds, no service accepts it. Repeating it changes nothing."""
    store = context.authenticator.keys.store
    key = await context.in_thread(store.find, key_id)
    if key is None or not may_manage(identity, key.grants):
        raise KeyNotFoundError(key_id)
    revoked = await context.in_thread(store.revoke, key)
    context.authenticator.keys.cache.forget()
    _record(context, request, identity, Action.KEY_REVOKE, revoked, 200)
    return _json(describe_key(revoked, epoch_ms()))


async def _check_first(context: Context, grants: tuple[Grant, ...]) -> None:
    """Refuse a first key that would leave the service without an administrator. Raises: RequestError."""
    if await context.authenticator.is_open() and not is_full_admin(grants):
        remedy = "create a key with the scope admin first, or set STEPWELL_ADMIN_KEY where the service runs"
        raise RequestError("scopes", ", ".join(map(str, grants)), FIRST_KEY_RULE, remedy)


def _record(context: Context, request: Request, identity: Identity, action: Action, key: ApiKey, status: int) -> None:
    address = request.client.host if request.client else ""
    detail = {"key_id": key.key_id, "name": key.name, "owner": key.owner, "scopes": [str(one) for one in key.grants]}
    context.audit.record(AuditEntry.by(identity, action, status=status, address=address, detail=detail))


def _json(value: dict[str, Any], status: int = 200) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(json_bytes(value), status_code=status, media_type="application/json", headers=headers)
