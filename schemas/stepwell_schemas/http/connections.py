"""Limits of HTTP connections: time and size of the head of a request, and the number of connections.

uvicorn has no such limits: a client that sends one byte a second would occupy a connection forever. `guard.py` limits
the bodies of requests.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any, ClassVar, Final

import uvicorn
from prometheus_client import Counter
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from stepwell_schemas.http.pipelines import PipelineProtocol
from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import PROBLEM_TYPE, problem
from stepwell_schemas.http.tls import ServerCertificate

HEAD_SECONDS: Final = 10.0
"""Seconds within which the head of a request must arrive, from its first byte or from the start of the connection."""

HEAD_BYTES: Final = 256 * 1024
"""Maximum bytes of a request's URL and headers: about 2,000 keys in a URL. 1,000 connections use up to 256 MiB."""

_STALLED_MS: Final = 60_000
"""Time after which the kernel closes a connection whose client does not acknowledge data."""


class BoundedProtocol(PipelineProtocol):
    """uvicorn's HTTP protocol with these limits.

    If the limit of connections is reached, a new connection replaces the one that has waited longest for a request:
    idle and slow clients are closed first, connections with a request in progress are kept.
    """

    connections_max: ClassVar[int]
    head_seconds: ClassVar[float]
    closed: ClassVar[Counter]
    idle: ClassVar[dict[BoundedProtocol, None]]
    """Connections without a complete head of a request, the longest waiting first."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept the connection; close an idle one if the limit is reached."""
        super().connection_made(transport)
        _close_when_stalled(transport)
        if len(self.connections) > self.connections_max:
            if not self.idle:
                self._refuse(503, ProblemType.TOO_MANY_CONNECTIONS, "Too many connections", "try again later")
                return
            self.closed.labels("idle").inc()
            next(iter(self.idle))._evict()
        self._await_head()
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes; the timeout of a head starts with its first byte."""
        if self._refused:
            return
        if self._in_head:
            if self._timer is None:
                self._start_timer()
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """Handle the request, unless its head is too large."""
        self._end_head()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._refuse_head()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Accept a part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Accept the end of the body."""
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless one is already queued."""
        if not self.pipeline:
            self._await_head()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - our document says more than the parser's message
        """Reject bytes that are not HTTP."""
        self._refuse(400, ProblemType.NOT_HTTP, "Malformed request", "this is not an HTTP/1.1 request")

    def _await_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self.idle[self] = None

    def _end_head(self) -> None:
        self._in_head = False
        self.idle.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _too_slow(self) -> None:
        self.closed.labels("slow").inc()
        detail = f"the head of a request must arrive within {self.head_seconds:g} seconds"
        self._refuse(408, ProblemType.REQUEST_TIMEOUT, "Request timeout", detail)

    def _evict(self) -> None:
        self._end_head()
        self.connections.discard(self)
        self.transport.abort()

    def _refuse_head(self) -> None:
        detail = f"URL and headers are limited to {HEAD_BYTES:,} bytes; POST endpoints accept long lists in the body"
        self._refuse(431, ProblemType.HEAD_TOO_LARGE, "Request head too large", detail)

    def _refuse(self, status: int, kind: ProblemType, title: str, detail: str) -> None:
        """Answer with a problem document and close the connection."""
        self._end_head()
        self._refused = True
        if self.transport.is_closing():
            return
        # A document must not be written into a response that has already started.
        if self.cycle is None or self.cycle.response_complete:
            content = bytes(problem(status, kind, title, detail).body)
            head = (
                f"content-type: {PROBLEM_TYPE}\r\ncontent-length: {len(content)}\r\n"
                "x-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[status] + head.encode() + content)
        self.transport.close()


def server_config(
    app: ASGIApp,
    connections_max: int,
    closed: Counter,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    head_seconds: float = HEAD_SECONDS,
    drain_seconds: int | None = None,
    certificate: ServerCertificate | None = None,
) -> uvicorn.Config:
    """Return the uvicorn configuration of the application; each server has separate connection state.

    Args:
        app: the application.
        connections_max: the limit of connections.
        closed: counts connections that the service closes, by reason: `slow` or `idle`.
        host: the address to listen on.
        port: the port to listen on; 0: any free port.
        head_seconds: time limit for the head of a request.
        drain_seconds: seconds after a stop until requests in progress are cancelled.
        certificate: the certificate to serve HTTPS with; None: HTTP.
    """
    bounds = {"connections_max": connections_max, "head_seconds": head_seconds, "closed": closed, "idle": {}}
    protocol = type("Protocol", (BoundedProtocol,), bounds)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        timeout_graceful_shutdown=drain_seconds,
        **server_options(certificate),
    )


def server_options(certificate: ServerCertificate | None) -> dict[str, Any]:
    """Return the options of `uvicorn.Config` that all servers have; HTTPS with a certificate, HTTP without one."""
    return {
        # There are no WebSocket routes.
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "ssl_context_factory": None if certificate is None else lambda *_: certificate.context,
    }


def _close_when_stalled(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None and sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
