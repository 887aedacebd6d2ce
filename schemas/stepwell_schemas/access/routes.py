"""FastAPI routes that check their declared access before anything else of a request is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route

from stepwell_schemas.access.authorize import (
    PUBLIC,
    RouteAccess,
    UndeclaredAccessError,
    check_access,
    declared_access,
)
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.middleware import IDENTITY, REFUSAL, record_denied
from stepwell_schemas.access.refusals import FORBIDDEN, Refusal, no_credential

SCHEMA_FIELD: Final = "x-stepwell-access"
"""The field of an operation in the OpenAPI document with the access that it requires."""

SECURITY_SCHEMES: Final = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key: `Authorization: Bearer KEY`."},
    "basic": {"type": "http", "scheme": "basic", "description": "An API key as the password of any user name."},
}
"""The `securitySchemes` of an OpenAPI document."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class AccessRoute(APIRoute):
    """A route that answers only what its identity may do; use it as `route_class` of every router.

    Raises:
        UndeclaredAccessError: when the endpoint declares no access.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        self.access = declared_access(endpoint, path)
        more["openapi_extra"] = {**(more.get("openapi_extra") or {}), **_described(self.access)}
        super().__init__(path, endpoint, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests: the check, then the route's own."""
        handle, access = super().get_route_handler(), self.access

        async def checked(request: Request) -> Response:
            refusal = _refusal(access, request)
            return await handle(request) if refusal is None else to_response(refusal)

        return checked


async def get_identity(request: Request) -> Identity:
    """Return the identity of a request to a route that is not public."""
    identity: Identity = request.scope[IDENTITY]
    return identity


IdentityDep = Annotated[Identity, Depends(get_identity)]


def to_response(refusal: Refusal) -> Response:
    """Return a refusal as a response."""
    return Response(refusal.body(), status_code=refusal.status, headers=refusal.all_headers())


def check_routes(routes: Iterable[BaseRoute], public: Iterable[str] = ()) -> dict[str, RouteAccess]:
    """Return the access of all routes by their method and path, such as `GET /api/v1/projects`.

    Args:
        routes: the routes of an application.
        public: the paths of routes without data that a framework adds.

    Raises:
        UndeclaredAccessError: when a route declares no access.
    """
    found: dict[str, RouteAccess] = {}
    known = frozenset(public)
    for route in walk_routes(routes):
        path = getattr(route, "path", "")
        if isinstance(route, AccessRoute):
            access = route.access
        elif isinstance(route, Route) and path in known:
            access = PUBLIC
        else:
            raise UndeclaredAccessError(f"the route {path or route!r} declares no access: use AccessRoute")
        found |= {f"{method} {path}": access for method in sorted(route.methods or ())}
    return found


def public_bodies(routes: dict[str, RouteAccess]) -> frozenset[str]:
    """Return the paths of public routes that may take a body."""
    split = [(name.partition(" "), access) for name, access in routes.items()]
    return frozenset(path for (method, _, path), access in split if access is PUBLIC and method not in _SAFE_METHODS)


def describe_security(app: FastAPI) -> None:
    """Add the security schemes to the application's OpenAPI document."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        document = build()
        document.setdefault("components", {})["securitySchemes"] = SECURITY_SCHEMES
        return document

    # The way that FastAPI documents.
    app.openapi = openapi  # type: ignore[method-assign]


def walk_routes(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """Yield every route, also those of routers that FastAPI includes as a whole."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from walk_routes(router.routes)


def _refusal(access: RouteAccess, request: Request) -> Refusal | None:
    if access is PUBLIC:
        return None
    identity = request.scope.get(IDENTITY)
    if not isinstance(identity, Identity):
        # Without the middleware, a request has no identity.
        return request.scope.get(REFUSAL) or no_credential()
    refusal = check_access(access, identity, request.path_params)
    if refusal is not None and refusal.kind == FORBIDDEN:
        record_denied(request.scope, identity, refusal)
    return refusal


def _described(access: RouteAccess) -> dict[str, Any]:
    return {SCHEMA_FIELD: str(access), "security": [] if access is PUBLIC else [{"key": []}, {"basic": []}]}
