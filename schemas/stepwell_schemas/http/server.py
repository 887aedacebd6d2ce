"""The HTTP server of a service: uvicorn, which ends with exit code 0 on a signal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn

from stepwell_schemas.http.tls import ServerCertificate

CERTIFICATE_TICKS: Final = 50
"""Ticks of uvicorn, of a tenth of a second, between two looks at the files of the certificate."""


class HttpServer(uvicorn.Server):
    """Serves an application until it is stopped; `stopping` is called when a signal is received.

    A certificate whose files change is read again, for new connections.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        stopping: Callable[[], None] | None = None,
        certificate: ServerCertificate | None = None,
    ) -> None:
        super().__init__(config)
        self._stopping = stopping
        self._certificate = certificate

    async def on_tick(self, counter: int) -> bool:
        """Look at the certificate's files from time to time; return True if the server is to stop."""
        if self._certificate is not None and counter % CERTIFICATE_TICKS == 0:
            await asyncio.to_thread(self._certificate.reload_if_changed)
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Stop on a signal with exit code 0; uvicorn would raise the signal again at the end and be killed by it."""
        self.should_exit = True
        if self._stopping is not None:
            self._stopping()
