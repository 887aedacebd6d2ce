"""Runs the query service alone, as `stepwell query` does."""

from __future__ import annotations

import logging
from collections.abc import Callable

import structlog
import uvicorn

from stepwell_query.app import create_app
from stepwell_query.server import Server
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse import connect


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
    configure_logging(settings.query_log_level)
    dsn = settings.clickhouse_dsn.get_secret_value()
    with connect(dsn, settings.clickhouse_database, settings.clickhouse_pool_size) as store:
        app = create_app(settings, store)
        config = uvicorn.Config(
            app,
            host=settings.query_host,
            port=settings.query_port,
            log_level=settings.query_log_level,
            access_log=False,
            timeout_graceful_shutdown=drain_seconds,
        )
        Server(app, config, stopping).run()


def configure_logging(level: str) -> None:
    """Write the service's log as lines of JSON on stdout, from `level` on."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
