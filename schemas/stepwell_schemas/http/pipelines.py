"""A limit of the requests that a client sends without waiting for the answers to earlier ones.

uvicorn parses all that it has received, and reads more with each answer. A client that sends requests faster than they
are answered would fill the memory: three connections made the service grow by 100 MB a second.
"""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PIPELINED_MAX: Final = 256
"""Requests of a connection that may wait. Each takes about 2 KB in addition to its head."""


class PipelineProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with this limit.

    While requests wait, nothing more is read. If one read has more of them, the last one that waits closes the
    connection, and its client repeats those that were not answered, as for any connection that ends (RFC 9112, 9.3.2).
    """

    full = False
    """True once the limit is reached: what follows is ignored."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the requests that still wait."""
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes."""
        if not self.full:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        """Handle the request, unless too many wait already."""
        if len(self.pipeline) >= PIPELINED_MAX:
            self.full = True
            self.cycle.keep_alive = False
        if not self.full:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Accept a part of the body."""
        if not self.full:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Accept the end of the body."""
        if not self.full:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Continue with the next request, and read more only if none waits."""
        super().on_response_complete()
        if self.pipeline or self.full:
            self.flow.pause_reading()
