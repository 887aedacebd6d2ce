"""The query service in a process of its own, as run by `stepwell query`."""

from __future__ import annotations

from collections.abc import Callable

from stepwell_query.api.app import create_app
from stepwell_query.api.server import Server
from stepwell_query.settings import QuerySettings
from stepwell_query.telemetry import CONNECTIONS_CLOSED
from stepwell_schemas.access.exposure import check_exposure
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.http.connections import server_config
from stepwell_schemas.http.tls import server_certificate


def serve(
    settings: QuerySettings, stopping: Callable[[], None] | None = None, drain_seconds: int | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; requests in progress are completed first.

    Args:
        settings: settings of the service.
        stopping: called when a signal is received.
        drain_seconds: seconds until requests in progress are cancelled.

    Raises:
        StoreError: when ClickHouse is not available at the start.
        TlsError: when the certificate can't be used.
        ExposedServiceError: when other machines can reach it, and it requires no key.
    """
    certificate = server_certificate(settings)
    dsn = settings.clickhouse_dsn.get_secret_value()
    with connect(dsn, settings.clickhouse_database, settings.clickhouse_pool_size) as store:
        check_exposure(settings.query_host, settings, store)
        app = create_app(settings, store)
        config = server_config(
            app,
            settings.query_max_connections,
            CONNECTIONS_CLOSED,
            settings.query_host,
            settings.query_port,
            drain_seconds=drain_seconds,
            certificate=certificate,
        )
        Server(app, config, stopping, certificate).run()
