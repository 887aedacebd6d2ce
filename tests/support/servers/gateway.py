"""A gateway on a socket, between tests and the broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from stepwell_gateway.access import make_access
from stepwell_gateway.app import create_app
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.server import GatewayServer
from stepwell_gateway.settings import GatewaySettings
from stepwell_gateway.telemetry import HTTP
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.connections import server_config
from support.servers.sdk import eventually
from support.servers.stack import Topics

_DEADLINE_SECONDS = 30.0


def gateway_settings(broker: str, topics: Topics, **changes: Any) -> GatewaySettings:
    """Return settings of a gateway to a test's own topics."""
    fields: dict[str, Any] = {"kafka_bootstrap_servers": broker, "events_topic": topics.events, "gateway_port": 0}
    return GatewaySettings(**fields | changes)


@contextmanager
def gateway_over(
    settings: GatewaySettings, store: Store | None = None, port: int = 0, *, ready: bool = True
) -> Iterator[str]:
    """Run a gateway for the block, with the keys of `store`; yields its URL, `ready` once it is connected."""
    log = EventLog(settings)
    access = make_access(settings, store)
    audit = None if store is None else AuditLog(store)
    app = create_app(settings, log, access, store, audit)
    config = server_config(app, settings.gateway_max_connections, HTTP.connections_closed, port=port)
    server = GatewayServer(log, access.authenticator.keys, config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started, True)
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        if ready:
            eventually(lambda: httpx.get(f"{url}/readyz").status_code, 200)
        yield url
    finally:
        server.should_exit = True
        thread.join(_DEADLINE_SECONDS)
        if audit is not None:
            audit.close()
