"""The HTTP server of the query service, with hooks at its start and at the beginning of a stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from stepwell_query.api.routes import page
from stepwell_schemas.http.server import HttpServer
from stepwell_schemas.http.tls import ServerCertificate


class Server(HttpServer):
    """Serves the application; event streams, which never end by themselves, are closed when the server stops."""

    def __init__(
        self,
        app: FastAPI,
        config: uvicorn.Config,
        stopping: Callable[[], None] | None = None,
        certificate: ServerCertificate | None = None,
    ) -> None:
        super().__init__(config, stopping, certificate)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and prepare the page's files for the first visitor."""
        await self._app.state.context.publish_settings()
        await super().startup(sockets)
        page.prepare()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close event streams, then stop as uvicorn does: requests in progress are completed first."""
        self._app.state.context.changes.close()
        await super().shutdown(sockets)
        await asyncio.to_thread(self._app.state.context.close)
