"""The query service as an ASGI application."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any, Final

import structlog
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell_query.api import problems
from stepwell_query.api.dependencies import Context
from stepwell_query.api.guard import BodyLimitMiddleware, OriginCheckMiddleware, UnexpectedErrorMiddleware
from stepwell_query.api.routes import events, media, metrics, page, rows, runs, series, service, sql, tables
from stepwell_query.readiness import Parts, no_parts
from stepwell_query.settings import QuerySettings
from stepwell_query.telemetry import IN_PROGRESS, REQUEST_SECONDS, REQUESTS
from stepwell_schemas.clickhouse.store import Store

_DESCRIPTION: Final = """Read access to the data that training runs logged: runs, series, rows by step, SQL.

Answers are JSON by default, or Arrow, CSV, NDJSON or Parquet by `format=` or `Accept`. NaN and infinities are the
strings `"NaN"`, `"Infinity"` and `"-Infinity"` in JSON. Errors are problem documents (RFC 9457) with a stable `type`;
`errors` lists fields with rule and remedy."""

_PROBLEMS: Final[dict[int | str, str]] = {
    404: "The run, project or route does not exist.",
    422: "A parameter is invalid; `errors` has its field, value, rule and remedy.",
    503: "ClickHouse is not available, or too many requests are in progress.",
}

_log = structlog.get_logger("stepwell.query")


def create_app(settings: QuerySettings, store: Store, parts: Parts = no_parts) -> FastAPI:
    """Return the application; the caller owns the store and closes it after the application has stopped.

    `parts` reports further parts of the process, whose states `/readyz` includes.
    """
    app = FastAPI(
        title="Stepwell",
        version=version("stepwell"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses={status: _problem(text) for status, text in _PROBLEMS.items()},
    )
    app.state.context = Context(settings, store, parts)
    problems.install(app)
    # The page last: its paths with placeholders match those of other routes.
    for module in (service, runs, metrics, series, rows, media, tables, events, sql, page):
        app.include_router(module.router)
    # The middleware that is added last is the outermost one.
    app.add_middleware(BodyLimitMiddleware, body_bytes=settings.query_max_body_bytes)
    app.add_middleware(OriginCheckMiddleware, settings=settings)
    app.add_middleware(UnexpectedErrorMiddleware)
    app.add_middleware(RequestMetricsMiddleware)
    return app


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {problems.PROBLEM_TYPE: {}}}


class RequestMetricsMiddleware:
    """Counts, times and logs each request, and sets the default caching headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def watching_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Answers change while runs continue: caches may store them, but must revalidate them before each use.
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    message["headers"] = [*message["headers"], (b"cache-control", b"no-cache"), (b"vary", b"accept")]
            await send(message)

        with IN_PROGRESS.track_inprogress():
            try:
                await self._app(scope, receive, watching_send)
            finally:
                seconds = time.perf_counter() - started
                route = getattr(scope.get("route"), "path", "unmatched")
                REQUESTS.labels(route, scope["method"], str(status)).inc()
                REQUEST_SECONDS.labels(route).observe(seconds)
                _log.debug("request_completed", path=scope["path"], status=status, seconds=round(seconds, 6))
