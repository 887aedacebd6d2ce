"""The query service and the gateway at one address, as `stepwell up` serves them, and a proxy that damages requests."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from stepwell_deploy.local.service_app import create_service_app
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.settings import GatewaySettings
from stepwell_query.api.server import Server
from stepwell_query.readiness import no_parts
from stepwell_query.settings import QuerySettings
from stepwell_query.telemetry import CONNECTIONS_CLOSED
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.connections import server_config
from support.servers.gateway import gateway_settings
from support.servers.sdk import eventually
from support.servers.stack import Topics

_DEADLINE_SECONDS = 30.0


class _Server(Server):
    """A server with the log of the gateway that it serves."""

    log: EventLog

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.log.start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self.log.close()


@contextmanager
def one_address(store: Store, broker: str, topics: Topics, port: int = 0, **settings: Any) -> Iterator[str]:
    """Serve both for the block; yields the URL. The service names no brokers, so that nothing can reach them."""
    fields: dict[str, Any] = {"crashed_after_seconds": 1e9, "advised_transports": ("http",)}
    query = QuerySettings(**fields | settings)
    gateway: GatewaySettings = gateway_settings(broker, topics)
    service = create_service_app(query, gateway, store, no_parts)
    server = _Server(service.query, server_config(service.app, 1_000, CONNECTIONS_CLOSED, port=port))
    server.log = service.log
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, True)
        eventually(lambda: service.log.reason, "")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(_DEADLINE_SECONDS)


@contextmanager
def damaging_proxy(target: str, damages: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Forward requests to `target` for the block; each POST suffers the next damage in turn.

    `pass`: none; `drop`: the answer is lost; `double`: the request arrives twice; `cut`: a part of it arrives;
    `refuse`: nothing arrives, and the answer is 502. Yields the URL, and the list of the damages that were done.
    """
    parts = urlsplit(target)
    done: list[str] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(*self._forward(b""))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with lock:
                damage = damages[len(done) % len(damages)]
                done.append(damage)
            if damage == "cut":
                self._send_part(body)
            elif damage == "refuse":
                self._answer(502, b"bad gateway")
                return
            else:
                answer = self._forward(body)
                if damage == "double":
                    answer = self._forward(body)
                if damage != "drop":
                    self._answer(*answer)
                    return
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

        def _forward(self, body: bytes) -> tuple[int, bytes]:
            upstream = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_DEADLINE_SECONDS)
            try:
                upstream.request(self.command, self.path, body or None, dict(self.headers))
                response = upstream.getresponse()
                return response.status, response.read()
            finally:
                upstream.close()

        def _send_part(self, body: bytes) -> None:
            with socket.create_connection((parts.hostname or "", parts.port or 0)) as upstream:
                head = f"{self.command} {self.path} HTTP/1.1\r\n{self.headers.as_string()}".replace("\n", "\r\n")
                upstream.sendall(head.replace("\r\r\n", "\r\n").encode() + body[: len(body) // 2])

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", done
    finally:
        server.shutdown()
        server.server_close()
        thread.join(_DEADLINE_SECONDS)
