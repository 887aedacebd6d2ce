"""Runs the query service alone, as `stepwell query` does."""

from __future__ import annotations

from collections.abc import Callable

from stepwell_query.api.app import create_app
from stepwell_query.api.connections import server_config
from stepwell_query.api.server import Server
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import connect


def serve(
    settings: QuerySettings, stopping: Callable[[], None] | None = None, drain_seconds: int | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first.

    Args:
        settings: of the service.
        stopping: called when a signal has come.
        drain_seconds: after so many seconds, requests still under way are cancelled.

    Raises:
        StoreError: when ClickHouse can't be reached at the start.
    """
    dsn = settings.clickhouse_dsn.get_secret_value()
    with connect(dsn, settings.clickhouse_database, settings.clickhouse_pool_size) as store:
        app = create_app(settings, store)
        config = server_config(app, settings.query_host, settings.query_port, drain_seconds=drain_seconds)
        Server(app, config, stopping).run()
