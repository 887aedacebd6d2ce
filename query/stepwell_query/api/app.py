"""The query service as an ASGI application."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from fastapi import FastAPI

from stepwell_query.access.sign_in import SignIn
from stepwell_query.api import problems
from stepwell_query.api.dependencies import Context
from stepwell_query.api.routes import (
    audit,
    events,
    keys,
    media,
    metrics,
    page,
    retention,
    rows,
    runs,
    series,
    service,
    signin,
    sql,
    tables,
)
from stepwell_query.readiness import Parts, no_parts
from stepwell_query.settings import QuerySettings
from stepwell_query.telemetry import HTTP
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.protection import protect
from stepwell_schemas.access.service_access import ServiceAccess
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.problems import problem_responses
from stepwell_schemas.http.shared_routes import share_routes

_DESCRIPTION: Final = """Read access to the data that training runs logged: runs, series, rows by step, SQL.

Answers are JSON by default, or Arrow, CSV, NDJSON or Parquet by `format=` or `Accept`. NaN and infinities are the
strings `"NaN"`, `"Infinity"` and `"-Infinity"` in JSON. Errors are problem documents (RFC 9457) with a stable `type`;
`errors` lists fields with rule and remedy."""

_PROBLEMS: Final[dict[int | str, str]] = {
    401: "The request needs a key, or its key is unknown, expired or revoked.",
    403: "The key does not have the scope that the route requires (`x-stepwell-access`).",
    404: "The run, project or route does not exist, or the key may not read it.",
    422: "A parameter is invalid; `errors` has its field, value, rule and remedy.",
    503: "ClickHouse is not available, or too many requests are in progress.",
}

# The page last: its paths with placeholders match those of other routes.
_MODULES: Final = (service, runs, metrics, series, rows, media, tables, events, sql, keys, audit, retention)
_ROUTES: Final = share_routes(
    (*(module.router for module in _MODULES), signin.api, signin.router, page.router), problem_responses(_PROBLEMS)
)

FRAMEWORK_ROUTES: Final = ("/openapi.json",)
"""Public routes that the framework adds."""


def create_app(
    settings: QuerySettings,
    store: Store,
    parts: Parts = no_parts,
    access: ServiceAccess | None = None,
    audit_log: AuditLog | None = None,
) -> FastAPI:
    """Return the application; the caller owns the store and closes it after the application has stopped.

    Args:
        settings: settings of the service.
        store: the store that it reads, which also holds the keys.
        parts: reports further parts of the process, whose states `/readyz` includes.
        access: decides who makes a request; default: as the settings say.
        audit_log: that of the process, which the caller closes; default: one of the application's own.

    Raises:
        UndeclaredAccessError: when a route declares no access.
    """
    access = access or ServiceAccess.over(store, settings, settings.base_url, tls=settings.tls_certfile is not None)
    app = FastAPI(
        title="Stepwell",
        version=version("stepwell"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )
    context = app.state.context = Context(settings, store, parts, access.authenticator, audit_log)
    app.state.sign_in = SignIn(access, settings.base_url)
    problems.install(app)
    app.router.routes.extend(_ROUTES)
    protect(
        app,
        access,
        settings,
        base_url=settings.base_url,
        host=settings.query_host,
        audit=context.audit,
        telemetry=HTTP,
        bodies={"body_bytes": settings.query_max_body_bytes},
        framework_routes=FRAMEWORK_ROUTES,
    )
    return app
