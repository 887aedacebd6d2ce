"""A complete Stepwell on one machine: the broker as a child, everything else in this process.

The embedded engine allows one process per folder, so the ingestor, the query service and the ClickHouse port share a
process. On a stop signal, the service accepts no more requests while the ingestor stores what it has read; then the
broker stops, then the engine. Each step has a time limit, and `exit_deadline` limits all of them together.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from fastapi import FastAPI

from stepwell_deploy.clickhouse_server.guests import Limits
from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_deploy.errors import DiskSpaceError, StackError
from stepwell_deploy.local.broker_thread import BrokerThread
from stepwell_deploy.local.data_dir import locked_folder
from stepwell_deploy.local.disk_space import DiskLevel, DiskThresholds, disk_level, free_bytes
from stepwell_deploy.local.draining import RunningStack, drain
from stepwell_deploy.local.exit_deadline import BROKER_SECONDS, CLOSE_SECONDS, SERVICE_SECONDS, ExitDeadline
from stepwell_deploy.local.kafka import LocalKafka, Progress, silent
from stepwell_deploy.local.stack_supervisor import StackSupervisor
from stepwell_deploy.ports import claim_port
from stepwell_deploy.settings import DeploySettings
from stepwell_deploy.topics import set_up_topics
from stepwell_ingestor.progress import WatchedIngestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_query.api.app import create_app
from stepwell_query.api.connections import server_config
from stepwell_query.api.server import Server
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.settings import StoreSettings

_POLL_SECONDS: Final = 0.02
_CLICKHOUSE_USER: Final = "stepwell"
_PORT_REMEDY: Final = "stop it, or choose another port with --port"
_OWNER_ONLY: Final = 0o077
_log = structlog.get_logger("stepwell.deploy")


class LocalAddresses(NamedTuple):
    """Addresses of the parts of a running stack."""

    service: str
    broker: str
    clickhouse: str | None


class _Parts(NamedTuple):
    """The parts that are started before the event loop."""

    folder: Path
    broker: BrokerThread
    store: Store
    clickhouse: ClickHouseHttp | None
    addresses: LocalAddresses


def run_local(settings: DeploySettings, ready: Callable[[LocalAddresses], None], progress: Progress = silent) -> None:
    """Run everything until SIGTERM or Ctrl-C, then drain and stop; `ready` is called when it accepts requests.

    Call it from the main thread of a process that ends with it: the process ends at most 18 s after the signal, with
    exit code 1 and a line in the log if something could not be drained.

    Raises:
        PortInUseError, FolderInUseError, BrokerError, StoreError: when a part can't start, in one sentence.
        StackError: when the service does not start, or a part ends that can't be restarted.
    """
    os.umask(_OWNER_ONLY)
    port = claim_port(settings.host, settings.port, _PORT_REMEDY)
    settings = settings.model_copy(update={"port": port})
    with ExitStack() as stack:
        folder = stack.enter_context(locked_folder(_data_folder(settings)))
        thresholds = _check_space(folder, settings)
        broker = BrokerThread(LocalKafka(folder / "kafka", settings.kafka_port, settings.kafka_heap_mb))
        stack.callback(broker.close, BROKER_SECONDS)
        broker.start(progress)
        progress("opening the tables")
        engine = folder / "clickhouse"
        store = connect(f"chdb://{engine}", StoreSettings().clickhouse_database)
        stack.callback(store.close)
        migrate(store)
        clickhouse = _clickhouse_port(settings, engine)
        if clickhouse is not None:
            stack.enter_context(clickhouse)
        addresses = LocalAddresses(
            service=f"http://{settings.host}:{port}",
            broker=broker.kafka.bootstrap_servers,
            clickhouse=None if clickhouse is None else f"http://{settings.host}:{clickhouse.port}",
        )
        progress("starting the service")
        asyncio.run(_serve(settings, thresholds, _Parts(folder, broker, store, clickhouse, addresses), ready))
        progress("stopped")


def _clickhouse_port(settings: DeploySettings, engine: Path) -> ClickHouseHttp | None:
    """Return the ClickHouse port if it is enabled; the password of its writing user is random and not stored."""
    if settings.clickhouse_port == 0:
        return None
    port = 0 if settings.clickhouse_port == "auto" else settings.clickhouse_port
    given = QuerySettings()
    limits = Limits(given.sql_max_seconds, given.sql_max_memory_bytes, given.sql_max_bytes)
    password = secrets.token_urlsafe()
    return ClickHouseHttp(
        engine, settings.host, port, _CLICKHOUSE_USER, password, limits, allowed_hosts=given.allowed_hosts
    )


def _data_folder(settings: DeploySettings) -> Path:
    return settings.server_dir.expanduser().resolve()


def _check_space(folder: Path, settings: DeploySettings) -> DiskThresholds:
    thresholds = DiskThresholds(settings.disk_alert_bytes, settings.disk_reserve_bytes)
    free = free_bytes(folder)
    if disk_level(free, thresholds) >= DiskLevel.RESERVED:
        raise DiskSpaceError(folder, free, settings.disk_reserve_bytes)
    return thresholds


async def _serve(
    settings: DeploySettings, thresholds: DiskThresholds, parts: _Parts, ready: Callable[[LocalAddresses], None]
) -> None:
    deadline = ExitDeadline()
    stop_requested = asyncio.Event()

    def stop() -> None:
        deadline.begin()
        stop_requested.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    given = IngestorSettings()
    kafka = {"kafka_bootstrap_servers": parts.addresses.broker}
    own = {} if "media_url" in given.model_fields_set else {"media_url": str(parts.folder / "media")}
    ingestor_settings = given.model_copy(update=kafka | own)
    await _set_up_topics(ingestor_settings, settings)
    supervisor = StackSupervisor(
        parts.broker, lambda: WatchedIngestor(ingestor_settings, parts.store), parts.store, parts.folder, thresholds
    )
    query_settings = QuerySettings().model_copy(update=kafka | own | {"query_host": settings.host})
    app = create_app(query_settings, parts.store, supervisor.parts)
    server = _make_server(app, settings)
    supervisor.start()
    serving = asyncio.create_task(server.serve(), name="service")
    watching = asyncio.create_task(supervisor.watch(app.state.context.readiness), name="supervisor")
    stopping = asyncio.create_task(stop_requested.wait())
    try:
        await _until_started(server, serving)
        ready(parts.addresses)
        await asyncio.wait({serving, watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stop_requested.is_set():
            raise _end_as_error(serving, watching)
    except StackError as error:
        _log.error("stack_ended", error=str(error))
        raise
    finally:
        deadline.begin()
        await _cancelled(watching, stopping)
        await drain(RunningStack(server, serving, supervisor, parts.broker, parts.clickhouse, parts.store), deadline)


async def _set_up_topics(kafka: IngestorSettings, settings: DeploySettings) -> None:
    topics = await set_up_topics(
        kafka, settings.events_partitions, settings.required_partitions(), settings.topic_options()
    )
    for difference in topics.differences:
        _log.warning("topic_differs", **difference._asdict())


def _make_server(app: FastAPI, settings: DeploySettings) -> Server:
    return _Service(app, server_config(app, settings.host, settings.port, drain_seconds=SERVICE_SECONDS))


async def _until_started(server: Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            raise StackError(f"the service did not start on {server.config.host}:{server.config.port}")
        await asyncio.sleep(_POLL_SECONDS)


def _end_as_error(serving: asyncio.Task[None], watching: asyncio.Task[None]) -> StackError:
    """Return the end of a part that can't be restarted as an error."""
    if serving.done():
        return StackError(f"the query service has ended: {serving.exception()!r}")
    error: BaseException | None = watching.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, StackError) else StackError(f"the supervision of the parts has ended: {error!r}")


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=CLOSE_SECONDS)


class _Service(Server):
    """The service without signal handlers: the stack handles signals, and drains its parts in order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
