"""The bounds of HTTP connections: how long and how large the head of a request may be, and how many there are.

uvicorn bounds none of them: a client that sends a byte a second would keep its place for ever. Bodies are bounded in
`guard.py`, which can read them.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import ClassVar, Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from stepwell_query.api.problems import PROBLEM_TYPE, problem
from stepwell_query.telemetry import CONNECTIONS_CLOSED

HEAD_SECONDS: Final = 10.0
"""Time in which the head of a request must arrive, from its first byte or from the connection's beginning."""

HEAD_BYTES: Final = 256 * 1024
"""Bytes of a request's address and headers: some 2,000 keys in an address. 1,000 connections hold 256 MiB of them."""

_STALLED_MS: Final = 60_000
"""Time after which the kernel closes a connection whose client takes nothing of what was sent to it."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with these bounds.

    Where all places are taken, the connection that has waited longest for a request gives way to a new one: idle
    and slow clients go first, and those that are being answered stay.
    """

    connections_max: ClassVar[int]
    head_seconds: ClassVar[float]
    idle: ClassVar[dict[BoundedProtocol, None]]
    """Connections without a whole head, the longest without one first."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, if need be in the place of an idle one."""
        super().connection_made(transport)
        _close_when_stalled(transport)
        if len(self.connections) > self.connections_max:
            if not self.idle:
                self._refuse(503, "too-many-connections", "All connections are taken", "try again later")
                return
            CONNECTIONS_CLOSED.labels("idle").inc()
            next(iter(self.idle))._give_way()
        self._await_head()
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what arrives; the clock of a head begins with its first byte."""
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
        """Answer the request, unless its head is too large."""
        self._end_head()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._refuse_head()
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of the body."""
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless one has arrived already."""
        if not self.pipeline:
            self._await_head()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words say less than ours
        """Answer what is not HTTP."""
        self._refuse(400, "not-http", "The request can't be read", "it is not a request of HTTP/1.1")

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
        CONNECTIONS_CLOSED.labels("slow").inc()
        detail = f"the head of a request must arrive within {self.head_seconds:g} seconds"
        self._refuse(408, "request-timeout", "The request was too slow", detail)

    def _give_way(self) -> None:
        self._end_head()
        self.connections.discard(self)
        self.transport.abort()

    def _refuse_head(self) -> None:
        detail = f"address and headers may have {HEAD_BYTES:,} bytes; POST endpoints take long lists in their body"
        self._refuse(431, "head-too-large", "The request's head is too large", detail)

    def _refuse(self, status: int, name: str, title: str, detail: str) -> None:
        """Answer with a problem document and close the connection."""
        self._end_head()
        self._refused = True
        if self.transport.is_closing():
            return
        # Between the parts of another answer there is no place for this one.
        if self.cycle is None or self.cycle.response_complete:
            content = bytes(problem(status, name, title, detail).body)
            head = (
                f"content-type: {PROBLEM_TYPE}\r\ncontent-length: {len(content)}\r\n"
                "x-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[status] + head.encode() + content)
        self.transport.close()


def server_config(
    app: FastAPI,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    head_seconds: float = HEAD_SECONDS,
    drain_seconds: int | None = None,
) -> uvicorn.Config:
    """Return how uvicorn serves the application; with a state of its own for each server.

    Args:
        app: the application.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one.
        head_seconds: time for the head of a request to arrive.
        drain_seconds: after so many seconds of a stop, requests still under way are cancelled.
    """
    connections_max = app.state.context.settings.query_max_connections
    bounds = {"connections_max": connections_max, "head_seconds": head_seconds, "idle": {}}
    protocol = type("Protocol", (BoundedProtocol,), bounds)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        # No route is a WebSocket.
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=drain_seconds,
    )


def _close_when_stalled(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None and sys.platform == "linux":
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
