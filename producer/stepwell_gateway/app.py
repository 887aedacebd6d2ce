"""The gateway as an ASGI application."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from fastapi import APIRouter, FastAPI

from stepwell_gateway import problems
from stepwell_gateway.context import Context
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.routes import events, runs, service
from stepwell_gateway.settings import GatewaySettings
from stepwell_gateway.telemetry import HTTP
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.protection import protect
from stepwell_schemas.access.service_access import ServiceAccess
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.problems import problem_responses
from stepwell_schemas.http.shared_routes import share_routes
from stepwell_schemas.limits import MIB

_DESCRIPTION: Final = """Write access: events of training runs, and changes of stored runs; both go to Kafka.

Errors are problem documents (RFC 9457) with a stable `type`; `errors` lists fields with rule and remedy."""

_PROBLEMS: Final[dict[int | str, str]] = {
    401: "The request needs a key, or its key is unknown, expired or revoked.",
    403: "The key does not have the scope that the request requires.",
    404: "The run, project or route does not exist, or the key may not read it.",
    422: "A parameter or the body is invalid; `errors` has its field, value, rule and remedy.",
    500: "The gateway failed; its log has the details.",
}

BODY_BYTES: Final = 4 * MIB
"""Limit of a body with JSON; routes with other bodies have their own."""

STREAMED_PATHS: Final = (events.EVENTS_PATH,)
"""Paths of routes that read the body themselves."""

ROUTERS: Final[tuple[APIRouter, ...]] = (events.router, runs.router)
"""Routers of what the gateway serves in `stepwell up`, too; `service` is that of a process of its own."""

_ROUTES: Final = share_routes((*ROUTERS, service.router), problem_responses(_PROBLEMS))

FRAMEWORK_ROUTES: Final = ("/openapi.json",)
"""Public routes that the framework adds."""


def create_app(
    settings: GatewaySettings,
    log: EventLog,
    access: ServiceAccess,
    store: Store | None = None,
    audit: AuditLog | None = None,
) -> FastAPI:
    """Return the application; the caller starts and closes the log, and closes `audit` and the keys of the access.

    Args:
        settings: settings of the gateway.
        log: puts events on Kafka.
        access: finds the identity of requests.
        store: ClickHouse, which has the runs that requests change; None: stored runs can't be changed here.
        audit: records such changes, and requests with a wrong credential.

    Raises:
        UndeclaredAccessError: when a route declares no access.
    """
    app = FastAPI(
        title="Stepwell gateway",
        version=version("stepwell"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = Context(settings, log, store, audit)
    problems.install(app)
    app.router.routes.extend(_ROUTES)
    protect(
        app,
        access,
        settings,
        base_url=settings.base_url,
        host=settings.gateway_host,
        audit=audit,
        telemetry=HTTP,
        bodies={"body_bytes": BODY_BYTES, "setting": "", "streamed": STREAMED_PATHS},
        framework_routes=FRAMEWORK_ROUTES,
    )
    return app
