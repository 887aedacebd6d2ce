"""uvicorn's HTTP/1.1 protocol with bounds on connections, on the size of a request's head, and on the time it takes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from stepwell_deploy.clickhouse_server.bounds import Bounds
from stepwell_schemas.http.pipelines import PipelineProtocol

# uvicorn's own logger belongs to the query service, which runs in the same process.
_log: Final = logging.getLogger("stepwell.clickhouse_server")
_log.addHandler(logging.NullHandler())
_log.propagate = False

ABORT: Final = "stepwell.abort"
"""Name of the extension in the ASGI scope: a function that ends the connection without waiting for the client."""

_ANSWER: Final = (
    "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=UTF-8\r\nX-Content-Type-Options: nosniff\r\n"
    "Cache-Control: no-store\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{text}"
)


class BoundedProtocol(PipelineProtocol):
    """One connection. `bounds` is set on a subclass, since uvicorn makes the instances."""

    bounds: Bounds = Bounds()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _log
        self.access_log = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._in_head = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection, unless there are too many."""
        super().connection_made(transport)
        own = sum(_host(other) == _host(self) for other in self.connections)
        if len(self.connections) > self.bounds.connections or own > self.bounds.connections_per_client:
            self._end("503 Service Unavailable", "Too many connections; close some.\n")
            return
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and close a connection whose request head is too long."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if not self._in_head:
            return
        # Counted after parsing, since the parser reports the start of a new head.
        self._head_bytes += len(data)
        if self._head_bytes > self.bounds.head_bytes:
            self._end("431 Request Header Fields Too Large", "The URL and the headers are too long.\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start to read a request's head."""
        self._in_head = True
        self._head_bytes = 0
        self._start_head_timer()
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        """Hand a request to the application."""
        self._in_head = False
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head > self.bounds.head_bytes:
            self._end("431 Request Header Fields Too Large", "The URL and the headers are too long.\n")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Buffer a part of a body, except after the connection was refused."""
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a request, except after the connection was refused."""
        if self.cycle is not None:
            super().on_message_complete()

    def _start_head_timer(self) -> None:
        self._stop_head_timer()
        if self.full:
            return
        self._head_timer = self.loop.call_later(self.bounds.head_seconds, self._late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        self._end("408 Request Timeout", "The request's head took too long.\n")

    def _end(self, status: str, text: str) -> None:
        self._stop_head_timer()
        if not self.transport.is_closing():
            self.transport.write(_ANSWER.format(status=status, length=len(text), text=text).encode())
            self.transport.close()


def _host(protocol: Any) -> str:
    return protocol.client[0] if protocol.client else ""
