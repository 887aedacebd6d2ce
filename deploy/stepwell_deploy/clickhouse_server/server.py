"""The ClickHouse port of this process: uvicorn in a separate thread, over the engine that this process hosts."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import uvicorn

from stepwell_deploy.clickhouse_server.access import Credentials
from stepwell_deploy.clickhouse_server.app import ClickHouseApp
from stepwell_deploy.clickhouse_server.bounds import Bounds
from stepwell_deploy.clickhouse_server.guests import Limits
from stepwell_deploy.clickhouse_server.protocol import BoundedProtocol
from stepwell_deploy.clickhouse_server.statements import Engine
from stepwell_deploy.errors import PortInUseError
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.authenticate import Authenticator
from stepwell_schemas.access.key_limits import KeyLimits
from stepwell_schemas.http.connections import server_options
from stepwell_schemas.http.server import HttpServer
from stepwell_schemas.http.tls import ServerCertificate

_PORT_REMEDY: Final = "set STEPWELL_CLICKHOUSE_PORT to another, or to `auto` for a free one"
_BACKLOG: Final = 128
# Running statements are cancelled after this time, which kills them.
_STOP_SECONDS: Final = 1


class ClickHouseHttp:
    """Serves an embedded engine's folder on a port, from threads of this process, which hosts the engine.

    Args:
        folder: the engine's folder; the process may have open stores on it.
        host: the address to listen on.
        port: the port to listen on; 0 takes a free one, see `port` after `start`.
        user: the user with write access.
        password: the password of `user`.
        limits: limits of one guest statement.
        allowed_hosts: names under which the port answers, in addition to addresses and `localhost`.
        bounds: limits of all clients together.
        database: the database with the public views.
        authenticator: finds the identity of guests by their keys; None: guests have no password and see all rows.
        audit: records statements of guests; the caller closes it after `stop`.
        certificate: the certificate to serve HTTPS with; None: HTTP.
        key_limits: limits of each key, those of the whole process.
    """

    def __init__(
        self,
        folder: Path,
        host: str,
        port: int,
        user: str,
        password: str,
        limits: Limits | None = None,
        *,
        allowed_hosts: Collection[str] = (),
        bounds: Bounds | None = None,
        database: str = "stepwell",
        authenticator: Authenticator | None = None,
        audit: AuditLog | None = None,
        certificate: ServerCertificate | None = None,
        key_limits: KeyLimits | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self._folder = folder
        self._credentials = Credentials(user, password, authenticator)
        self._database = database
        self._audit = audit
        self._key_limits = key_limits
        self._limits = limits or Limits()
        self._hosts = (*allowed_hosts, host)
        self._bounds = bounds or Bounds()
        self._certificate = certificate
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def scheme(self) -> str:
        """The scheme of its URL."""
        return "http" if self._certificate is None else "https"

    @property
    def dsn(self) -> str:
        """The DSN of the writing user, once started."""
        user, password = (quote(part, safe="") for part in (self._credentials.user, self._credentials.password))
        return f"{self.scheme}://{user}:{password}@{self.host}:{self.port}"

    def start(self) -> None:
        """Listen and serve.

        Raises:
            PortInUseError: when another program has the port.
            StoreInUseError: when another process has the folder.
        """
        listener = _listen(self.host, self.port)
        try:
            threads = self._bounds.guests.running + self._bounds.writers.running
            engine = Engine(self._folder, self._limits, threads, self._database)
        except BaseException:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        app = ClickHouseApp(engine, self._credentials, self._hosts, self._bounds, self._audit, self._key_limits)
        self._running = _Running(app, engine, listener, self._bounds, self._certificate)
        self._running.start()

    def stop(self) -> None:
        """Stop listening, end running statements, and release the engine. Idempotent."""
        if self._running is not None:
            self._running.stop()
            self._running = None


class _Server(HttpServer):
    """A server that signals when it has started."""

    def __init__(self, config: uvicorn.Config, certificate: ServerCertificate | None) -> None:
        super().__init__(config, certificate=certificate)
        self.serving = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serving.set()


class _Running:
    """A server in its thread, with its engine and socket."""

    def __init__(
        self,
        app: ClickHouseApp,
        engine: Engine,
        listener: socket.socket,
        bounds: Bounds,
        certificate: ServerCertificate | None,
    ) -> None:
        protocol = type("Protocol", (BoundedProtocol,), {"bounds": bounds})
        config = uvicorn.Config(
            app,
            http=protocol,
            proxy_headers=False,
            timeout_keep_alive=int(bounds.idle_seconds),
            timeout_graceful_shutdown=_STOP_SECONDS,
            **server_options(certificate),
        )
        self._engine = engine
        self._listener = listener
        self._server = _Server(config, certificate)
        self._loop_factory = config.get_loop_factory()
        self._thread = threading.Thread(target=self._serve, name="clickhouse-http")

    def start(self) -> None:
        """Start the thread, and return when requests are answered."""
        self._thread.start()
        self._server.serving.wait()

    def stop(self) -> None:
        """End the thread; statements that run are killed."""
        self._server.should_exit = True
        self._thread.join()
        self._engine.close()

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._server.serve([self._listener]))
        finally:
            # Also set if the start failed, so that `start` does not wait for ever.
            self._server.serving.set()
            self._listener.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Answers are written in parts: without this, each part waits for the acknowledgement of the previous one.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise PortInUseError(host, port, _PORT_REMEDY) from None
    return listener
