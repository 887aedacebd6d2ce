"""The HTTP server: uvicorn, which tells the application when it begins, and that it stops before answers have ended."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from stepwell_query.api.routes import page


class Server(uvicorn.Server):
    """Serves the application; streams of events, which have no end of their own, end when it stops."""

    def __init__(self, app: FastAPI, config: uvicorn.Config, stopping: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._app = app
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Stop on a signal, with exit code 0: uvicorn itself would repeat the signal in the end, and die of it."""
        self.should_exit = True
        if self._stopping is not None:
            self._stopping()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and get the page ready for who comes first."""
        await super().startup(sockets)
        page.prepare()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then stop as uvicorn does: requests under way are answered first."""
        self._app.state.context.changes.close()
        await super().shutdown(sockets)
