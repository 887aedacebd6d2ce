"""The commands that run services, `up`, `ingest`, `query` and `gateway`, and `setup`, which prepares them."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console

from stepwell_deploy.settings import DeploySettings

if TYPE_CHECKING:
    from stepwell_query.settings import QuerySettings
    from stepwell_schemas.clickhouse.store import Store
    from stepwell_schemas.settings import StoreSettings

_RETRY_SECONDS: Final = 2.0

DirOption = Annotated[Path | None, typer.Option("--dir", help="The data folder.")]
HostOption = Annotated[
    str | None,
    typer.Option("--host", help="The address to listen on; another one than loopback requires a key: docs/access.md."),
]
PortOption = Annotated[int | None, typer.Option(help="The port of the service; 0: a free one.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(up)
    app.command()(ingest)
    app.command()(query)
    app.command()(gateway)
    app.command()(setup)


def with_options(
    settings: DeploySettings, folder: Path | None, port: int | None, host: str | None = None
) -> DeploySettings:
    """Return the settings with the options of the command line in their place."""
    given = {"server_dir": folder, "port": port, "host": host}
    return settings.model_copy(update={name: value for name, value in given.items() if value is not None})


def up(folder: DirOption = None, port: PortOption = None, host: HostOption = None) -> None:
    """Run everything on this machine: Kafka, the ingestor, ClickHouse and the query service.

    Prints `ready http://127.0.0.1:8420` when it accepts requests. A broker or ingestor that ends is restarted.
    Ctrl-C and SIGTERM drain and stop it within 20 s; exit code 1 if something could not be drained. Where other
    machines can reach it, it requires a key: it does not start with neither STEPWELL_ADMIN_KEY nor a stored key.

    Examples:
        stepwell up
        stepwell up --dir /data/stepwell --port 9000
        stepwell up --host 0.0.0.0
    """
    from stepwell_deploy.local.stack import LocalAddresses, run_local
    from stepwell_schemas.logs import configure_logging

    settings = with_options(DeploySettings(), folder, port, host)
    configure_logging(settings.log_level)
    notes = Console(stderr=True)

    def ready(addresses: LocalAddresses) -> None:
        sql = f"   clickhouse {addresses.clickhouse} (read-only)" if addresses.clickhouse else ""
        notes.print(f"kafka {addresses.broker}{sql}", highlight=False)
        typer.echo(f"ready {addresses.service}")

    def progress(text: str) -> None:
        notes.print(f"[dim]{text}[/dim]", highlight=False)

    run_local(settings, ready, progress)


def ingest() -> None:
    """Run one ingestor: a member of the consumer group that stores events in ClickHouse.

    Waits while Kafka or ClickHouse can't be reached. Both are configured by environment variables.

    Examples:
        STEPWELL_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 stepwell ingest
    """
    from stepwell_deploy.local.exit_deadline import ExitDeadline
    from stepwell_ingestor.progress import WatchedIngestor
    from stepwell_ingestor.settings import IngestorSettings
    from stepwell_schemas.logs import configure_logging
    from stepwell_schemas.settings import LogSettings

    configure_logging(LogSettings().log_level)
    settings = IngestorSettings()
    if settings.ingestor_metrics_port:
        _serve_metrics(settings.ingestor_metrics_host, settings.ingestor_metrics_port)
    store = _connect_patiently(settings)

    deadline = ExitDeadline()

    async def run() -> None:
        ingestor = WatchedIngestor(settings, store)
        loop = asyncio.get_running_loop()
        stop_requested = asyncio.Event()

        def stop() -> None:
            deadline.begin()
            stop_requested.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        running, stopping = loop.create_task(ingestor.run()), loop.create_task(stop_requested.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        elif not await ingestor.stop():
            deadline.not_drained("ingestor")
        deadline.exit_if_incomplete()
        await running

    try:
        asyncio.run(run())
    finally:
        store.close()


def _serve_metrics(host: str, port: int) -> None:
    from prometheus_client import start_http_server

    from stepwell_deploy.ports import claim_port

    start_http_server(claim_port(host, port, "set STEPWELL_INGESTOR_METRICS_PORT to another"), host)


def _connect_patiently(settings: StoreSettings) -> Store:
    import structlog

    from stepwell_schemas.clickhouse.store import connect
    from stepwell_schemas.errors import StoreUnavailableError

    log = structlog.get_logger(__name__)
    while True:
        try:
            return connect(
                settings.clickhouse_dsn.get_secret_value(), settings.clickhouse_database, settings.clickhouse_pool_size
            )
        except StoreUnavailableError as error:
            log.warning("store_unreachable", retry_seconds=_RETRY_SECONDS, error=str(error))
        time.sleep(_RETRY_SECONDS)


def query(port: PortOption = None, host: HostOption = None) -> None:
    """Run one query service.

    Where other machines can reach it, it requires a key: it does not start with neither STEPWELL_ADMIN_KEY nor a
    stored key.

    Examples:
        STEPWELL_CLICKHOUSE_DSN=http://clickhouse:8123 stepwell query --port 8420
    """
    from stepwell_deploy.local.exit_deadline import SERVICE_SECONDS, ExitDeadline
    from stepwell_query.service import serve
    from stepwell_schemas.logs import configure_logging
    from stepwell_schemas.settings import LogSettings

    settings = query_settings(port, host)
    configure_logging(settings.query_log_level or LogSettings().log_level)
    serve(settings, ExitDeadline().begin, SERVICE_SECONDS)


def query_settings(port: int | None = None, host: str | None = None) -> QuerySettings:
    """Return the settings of `stepwell query`.

    For its address, the options `--host` and `--port` have precedence over STEPWELL_QUERY_HOST and STEPWELL_QUERY_PORT,
    and these over STEPWELL_HOST and STEPWELL_PORT.
    """
    from stepwell_query.settings import QuerySettings

    settings, common = QuerySettings(), DeploySettings()
    update: dict[str, Any] = {
        f"query_{name}": getattr(common, name)
        for name in ("host", "port")
        if name in common.model_fields_set and f"query_{name}" not in settings.model_fields_set
    }
    given = {"query_port": port, "query_host": host}
    update |= {name: value for name, value in given.items() if value is not None}
    return settings.model_copy(update=update)


def gateway(port: PortOption = None, host: HostOption = None) -> None:
    """Run one gateway: it writes to Kafka what training runs send over HTTP.

    Kafka is configured by environment variables, and ClickHouse, which has the keys: without STEPWELL_CLICKHOUSE_DSN,
    STEPWELL_ADMIN_KEY is the only one. Waits while they can't be reached. Where other machines can reach it, it
    requires a key.

    Examples:
        STEPWELL_KAFKA_BOOTSTRAP_SERVERS=kafka:9092 stepwell gateway --port 8421
    """
    from stepwell_deploy.local.exit_deadline import SERVICE_SECONDS, ExitDeadline
    from stepwell_gateway.server import serve
    from stepwell_gateway.settings import GatewaySettings
    from stepwell_schemas.logs import configure_logging
    from stepwell_schemas.settings import LogSettings

    configure_logging(LogSettings().log_level)
    given = {"gateway_port": port, "gateway_host": host}
    settings = GatewaySettings().model_copy(update={name: value for name, value in given.items() if value is not None})
    store = _connect_patiently(settings) if settings.reads_keys() else None
    try:
        serve(settings, store, ExitDeadline().begin, SERVICE_SECONDS)
    finally:
        if store is not None:
            store.close()


def setup() -> None:
    """Create the topics and bring the database to this version's schema. Idempotent.

    Existing topics are compared with the settings and never changed: what differs is printed. Another number of
    partitions than STEPWELL_EVENTS_PARTITIONS, if that is set, is refused.

    Examples:
        stepwell setup
    """
    from stepwell_deploy.topics import set_up_topics
    from stepwell_schemas.clickhouse.store import connect
    from stepwell_schemas.logs import configure_logging
    from stepwell_schemas.migrations.runner import migrate
    from stepwell_schemas.settings import KafkaSettings, StoreSettings

    wanted = DeploySettings()
    configure_logging(wanted.log_level)
    kafka, storage = KafkaSettings(), StoreSettings()
    if not kafka.kafka_bootstrap_servers:
        raise typer.BadParameter("name the brokers with STEPWELL_KAFKA_BOOTSTRAP_SERVERS=host:port")
    topics = asyncio.run(
        set_up_topics(kafka, wanted.events_partitions, wanted.required_partitions(), wanted.topic_options())
    )
    for topic in topics.created:
        typer.echo(f"created topic {topic}")
    for difference in topics.differences:
        typer.echo(f"differs: {difference}; existing topics are not changed")
    store = connect(storage.clickhouse_dsn.get_secret_value(), storage.clickhouse_database, pool_size=1)
    try:
        for migration in migrate(store):
            typer.echo(f"applied migration {migration.number:04d} {migration.name}")
    finally:
        store.close()
    typer.echo("set up")
