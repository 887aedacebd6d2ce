"""The HTTP server: uvicorn with hooks at start and at the beginning of a stop."""

from __future__ import annotations

import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from stepwell_query.api.routes import page


class Server(uvicorn.Server):
    """Serves the application; event streams, which never end by themselves, are closed when the server stops."""

    def __init__(self, app: FastAPI, config: uvicorn.Config, stopping: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._app = app
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Stop on a signal with exit code 0; uvicorn would raise the signal again at the end and be killed by it."""
        self.should_exit = True
        if self._stopping is not None:
            self._stopping()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and prepare the page's files for the first visitor."""
        await self._app.state.context.publish_settings()
        await super().startup(sockets)
        page.prepare()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close event streams, then stop as uvicorn does: requests in progress are completed first."""
        self._app.state.context.changes.close()
        await super().shutdown(sockets)
