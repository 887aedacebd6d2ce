"""The gateway in a process of its own, as run by `stepwell gateway`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from stepwell_gateway.access import make_access
from stepwell_gateway.app import create_app
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.settings import GatewaySettings
from stepwell_gateway.telemetry import HTTP
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.authenticate import Keys
from stepwell_schemas.access.exposure import check_exposure
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.connections import server_config
from stepwell_schemas.http.server import HttpServer
from stepwell_schemas.http.tls import ServerCertificate, server_certificate


class GatewayServer(HttpServer):
    """Serves the gateway; the log is started before it listens, and closed after the last request."""

    def __init__(
        self,
        log: EventLog,
        keys: Keys,
        config: uvicorn.Config,
        stopping: Callable[[], None] | None = None,
        certificate: ServerCertificate | None = None,
    ) -> None:
        super().__init__(config, stopping, certificate)
        self._log = log
        self._keys = keys

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Connect to the brokers in the background, and listen."""
        self._log.start()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Complete the requests in progress, then close the connection to the brokers."""
        await super().shutdown(sockets)
        await self._log.close()
        await asyncio.to_thread(self._keys.close)


def serve(
    settings: GatewaySettings,
    store: Store | None,
    stopping: Callable[[], None] | None = None,
    drain_seconds: int | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests in progress are completed first.

    Args:
        settings: settings of the gateway.
        store: ClickHouse, which has the keys; None: the administrator's key is the only one.
        stopping: called when a signal is received.
        drain_seconds: seconds until requests in progress are cancelled.

    Raises:
        ExposedServiceError: when other machines can reach it, and no key is required.
        StoreError: when ClickHouse is needed at the start, and does not answer.
        TlsError: when the certificate can't be used.
    """
    check_exposure(settings.gateway_host, settings, store)
    certificate = server_certificate(settings)
    log, access = EventLog(settings), make_access(settings, store)
    audit = None if store is None else AuditLog(store, settings.audit_days)
    config = server_config(
        create_app(settings, log, access, store, audit),
        settings.gateway_max_connections,
        HTTP.connections_closed,
        settings.gateway_host,
        settings.gateway_port,
        drain_seconds=drain_seconds,
        certificate=certificate,
    )
    GatewayServer(log, access.authenticator.keys, config, stopping, certificate).run()
    if audit is not None:
        audit.close()
