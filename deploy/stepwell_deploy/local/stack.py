"""A complete Stepwell on one machine: the broker as a child, everything else in this process.

The embedded engine allows one process per folder, so the ingestor, the query service, the gateway and the ClickHouse
port share a process. On a stop signal, the service accepts no more requests while the ingestor stores what it has read;
then the broker stops, then the engine. Each step has a time limit, and `exit_deadline` limits all of them together.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog
from pydantic import SecretStr

from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_deploy.errors import DiskSpaceError, StackError
from stepwell_deploy.local.broker_thread import BrokerThread
from stepwell_deploy.local.clickhouse_port import make_clickhouse_port
from stepwell_deploy.local.data_dir import kept_secret, locked_folder
from stepwell_deploy.local.disk_space import DiskLevel, DiskThresholds, disk_level, free_bytes
from stepwell_deploy.local.draining import RunningStack, drain
from stepwell_deploy.local.exit_deadline import BROKER_SECONDS, CLOSE_SECONDS, SERVICE_SECONDS, ExitDeadline
from stepwell_deploy.local.kafka import LocalKafka, Progress, silent
from stepwell_deploy.local.service_app import ServiceApp, Shared, create_service_app
from stepwell_deploy.local.stack_supervisor import StackSupervisor
from stepwell_deploy.ports import claim_port
from stepwell_deploy.settings import DeploySettings
from stepwell_deploy.topics import set_up_topics
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.settings import GatewaySettings
from stepwell_ingestor.progress import WatchedIngestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_query.api.server import Server
from stepwell_query.settings import QuerySettings
from stepwell_query.telemetry import CONNECTIONS_CLOSED
from stepwell_schemas.access.exposure import check_exposure
from stepwell_schemas.access.oidc_settings import SignInSettings
from stepwell_schemas.access.sealing import new_secret
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.http.connections import server_config
from stepwell_schemas.http.tls import ServerCertificate, server_certificate
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.settings import HttpSettings, StoreSettings

_POLL_SECONDS: Final = 0.02
_GATEWAY_SECONDS: Final = 30.0
_PORT_REMEDY: Final = "stop it, or choose another port with --port"
_OWNER_ONLY: Final = 0o077
_SECRET_FILE: Final = "session-secret"  # noqa: S105 - a file's name
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
    certificate: ServerCertificate | None
    shared: Shared


def run_local(settings: DeploySettings, ready: Callable[[LocalAddresses], None], progress: Progress = silent) -> None:
    """Run everything until SIGTERM or Ctrl-C, then drain and stop; `ready` is called when it accepts requests.

    Call it from the main thread of a process that ends with it: the process ends at most 18 s after the signal, with
    exit code 1 and a line in the log if something could not be drained.

    Raises:
        PortInUseError, FolderInUseError, BrokerError, StoreError: when a part can't start, in one sentence.
        TlsError: when the certificate can't be used.
        ExposedServiceError: when other machines can reach the service, and it requires no key.
        StackError: when the service does not start, or a part ends that can't be restarted.
    """
    os.umask(_OWNER_ONLY)
    port = claim_port(settings.host, settings.port, _PORT_REMEDY)
    settings = settings.model_copy(update={"port": port})
    with ExitStack() as stack:
        folder = stack.enter_context(locked_folder(_data_folder(settings)))
        certificate = server_certificate(HttpSettings())
        access = SignInSettings()
        if not _has_tables(folder):
            # Without tables there is no key: no need to start a broker to find that out.
            check_exposure(settings.host, access)
        thresholds = _check_space(folder, settings)
        broker = BrokerThread(LocalKafka(folder / "kafka", settings.kafka_port, settings.kafka_heap_mb))
        stack.callback(broker.close, BROKER_SECONDS)
        broker.start(progress)
        progress("opening the tables")
        engine = folder / "clickhouse"
        store = connect(f"chdb://{engine}", StoreSettings().clickhouse_database)
        stack.callback(store.close)
        migrate(store)
        check_exposure(settings.host, access, store)
        shared = Shared.over(store, QuerySettings())
        stack.callback(shared.audit.close)
        clickhouse = make_clickhouse_port(settings, engine, store, stack, certificate, shared)
        if clickhouse is not None:
            stack.enter_context(clickhouse)
        scheme = "http" if certificate is None else "https"
        addresses = LocalAddresses(
            service=f"{scheme}://{settings.host}:{port}",
            broker=broker.kafka.bootstrap_servers,
            clickhouse=None if clickhouse is None else f"{scheme}://{settings.host}:{clickhouse.port}",
        )
        progress("starting the service")
        parts = _Parts(folder, broker, store, clickhouse, addresses, certificate, shared)
        asyncio.run(_serve(settings, thresholds, parts, ready))
        progress("stopped")


def _data_folder(settings: DeploySettings) -> Path:
    return settings.server_dir.expanduser().resolve()


def _has_tables(folder: Path) -> bool:
    return (folder / "clickhouse").is_dir()


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
    given_gateway = GatewaySettings()
    # Without another one, the address that it prints: where an identity provider sends browsers back to.
    base = {} if "base_url" in given_gateway.model_fields_set else {"base_url": parts.addresses.service}
    query_settings = _query_settings(parts.folder, kafka | own | base | {"query_host": settings.host})
    gateway_settings = given_gateway.model_copy(update=kafka | base | {"gateway_host": settings.host})
    service = create_service_app(query_settings, gateway_settings, parts.store, supervisor.parts, parts.shared)
    server = _make_server(service, query_settings.query_max_connections, settings, parts.certificate)
    supervisor.start()
    service.log.start()
    serving = asyncio.create_task(server.serve(), name="service")
    watching = asyncio.create_task(supervisor.watch(service.query.state.context.readiness), name="supervisor")
    stopping = asyncio.create_task(stop_requested.wait())
    try:
        await _until_started(server, serving)
        await until_connected(service.log, serving, watching, stopping)
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
        await drain(
            RunningStack(
                server, serving, service.log, service.audit, supervisor, parts.broker, parts.clickhouse, parts.store
            ),
            deadline,
        )


def _query_settings(folder: Path, own: dict[str, str]) -> QuerySettings:
    """Return the settings of the query service, which advises both transports unless others are set."""
    given = _with_secret(QuerySettings(), folder)
    advised = {} if "advised_transports" in given.model_fields_set else {"advised_transports": ("kafka", "http")}
    return given.model_copy(update=own | advised)


def _with_secret(settings: QuerySettings, folder: Path) -> QuerySettings:
    """Return the settings with a secret that the data folder keeps, so that a restart ends no session of the page."""
    if settings.session_secret.get_secret_value():
        return settings
    secret = SecretStr(kept_secret(folder / _SECRET_FILE, new_secret))
    return settings.model_copy(update={"session_secret": secret})


async def _set_up_topics(kafka: IngestorSettings, settings: DeploySettings) -> None:
    topics = await set_up_topics(
        kafka, settings.events_partitions, settings.required_partitions(), settings.topic_options()
    )
    for difference in topics.differences:
        _log.warning("topic_differs", **difference._asdict())


def _make_server(
    service: ServiceApp, connections_max: int, settings: DeploySettings, certificate: ServerCertificate | None
) -> Server:
    config = server_config(
        service.app,
        connections_max,
        CONNECTIONS_CLOSED,
        settings.host,
        settings.port,
        drain_seconds=SERVICE_SECONDS,
        certificate=certificate,
    )
    return _Service(service.query, config, certificate=certificate)


async def _until_started(server: Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            raise StackError(f"the service did not start on {server.config.host}:{server.config.port}")
        await asyncio.sleep(_POLL_SECONDS)


async def until_connected(log: EventLog, *ending: asyncio.Task[Any]) -> None:
    """Wait for the gateway's connection to the broker, so that a client that waits for `ready` can write.

    Reading needs no broker, so the stack is ready without it after some time; the gateway answers 503 then.
    """
    deadline = time.monotonic() + _GATEWAY_SECONDS
    while log.reason and not any(task.done() for task in ending):
        if time.monotonic() > deadline:
            _log.warning("gateway_not_connected", reason=log.reason, waited_seconds=_GATEWAY_SECONDS)
            return
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
