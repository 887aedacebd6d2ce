"""Metrics of requests, which each service registers under its own names, and the middleware that records them."""

from __future__ import annotations

import time
from typing import NamedTuple

import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = structlog.get_logger("stepwell.http")


class HttpTelemetry(NamedTuple):
    """Metrics of a service's requests.

    Attributes:
        requests: requests answered, by route, method and status.
        seconds: seconds from a request to the end of its answer, by route.
        in_progress: requests in progress.
        connections_closed: connections that the service closed, by reason.
    """

    requests: Counter
    seconds: Histogram
    in_progress: Gauge
    connections_closed: Counter


class RequestMetricsMiddleware:
    """Counts, times and logs each request, and sets the default caching headers."""

    def __init__(self, app: ASGIApp, telemetry: HttpTelemetry) -> None:
        self._app = app
        self._telemetry = telemetry

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

        with self._telemetry.in_progress.track_inprogress():
            try:
                await self._app(scope, receive, watching_send)
            finally:
                seconds = time.perf_counter() - started
                route = getattr(scope.get("route"), "path", "unmatched")
                self._telemetry.requests.labels(route, scope["method"], str(status)).inc()
                self._telemetry.seconds.labels(route).observe(seconds)
                _log.debug("request_completed", path=scope["path"], status=status, seconds=round(seconds, 6))
