"""A whole Stepwell on one machine: the broker as a child, everything else in this process.

The embedded engine allows one process a folder, so the ingestor, the query service and the ClickHouse port live
together. What starts is stopped in the opposite order: first the service takes no more requests, then the ingestor
stores what it has read, then the broker ends.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import uvicorn

from stepwell_deploy.clickhouse_server.access import Limits
from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_deploy.errors import StackError
from stepwell_deploy.local.data_dir import locked_folder
from stepwell_deploy.local.kafka import LocalKafka, Progress, silent
from stepwell_deploy.ports import claim_port
from stepwell_deploy.settings import DeploySettings
from stepwell_deploy.topics import create_topics
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_query.api.app import create_app
from stepwell_query.api.server import Server
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.settings import StoreSettings

_POLL_SECONDS: Final = 0.02
_CLICKHOUSE_USER: Final = "stepwell"
_PORT_REMEDY: Final = "stop it, or choose another port with --port"


class LocalAddresses(NamedTuple):
    """Where the parts of a running stack answer."""

    service: str
    broker: str
    clickhouse: str


def run_local(settings: DeploySettings, ready: Callable[[LocalAddresses], None], progress: Progress = silent) -> None:
    """Run everything until SIGTERM or Ctrl-C, then drain and stop; `ready` is called when it takes traffic.

    Call it from the main thread: the broker dies with the thread that starts it.

    Raises:
        PortInUseError, FolderInUseError, BrokerError, StoreError: when a part can't start, in one sentence.
        StackError: when the service does not come up.
    """
    port = claim_port(settings.host, settings.port, _PORT_REMEDY)
    settings = settings.model_copy(update={"port": port})
    with ExitStack() as stack:
        folder = stack.enter_context(locked_folder(_folder_of(settings)))
        broker = LocalKafka(folder / "kafka", settings.kafka_port, settings.kafka_heap_mb)
        stack.callback(broker.stop)
        broker.start(progress)
        progress("opening the tables")
        engine = folder / "clickhouse"
        store = connect(f"chdb://{engine}", StoreSettings().clickhouse_database)
        stack.callback(store.close)
        migrate(store)
        given = QuerySettings()
        limits = Limits(given.sql_max_seconds, given.sql_max_memory_bytes, given.sql_max_bytes)
        clickhouse = ClickHouseHttp(
            engine, settings.host, settings.clickhouse_port, _CLICKHOUSE_USER, secrets.token_urlsafe(), limits
        )
        stack.enter_context(clickhouse)
        addresses = LocalAddresses(
            service=f"http://{settings.host}:{port}",
            broker=broker.bootstrap_servers,
            clickhouse=f"http://{settings.host}:{clickhouse.port}",
        )
        progress("starting the service")
        asyncio.run(_serve(settings, store, addresses, ready))
        progress("stopping")


def _folder_of(settings: DeploySettings) -> Path:
    return settings.server_dir.expanduser().resolve()


async def _serve(
    settings: DeploySettings, store: Store, addresses: LocalAddresses, ready: Callable[[LocalAddresses], None]
) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    given = IngestorSettings()
    kafka = {"kafka_bootstrap_servers": addresses.broker}
    own = {} if "media_url" in given.model_fields_set else {"media_url": str(_folder_of(settings) / "media")}
    ingestor_settings = given.model_copy(update=kafka | own)
    await create_topics(ingestor_settings, settings.events_partitions)
    query_settings = QuerySettings().model_copy(update=kafka | own)
    async with (
        _running_ingestor(Ingestor(ingestor_settings, store)) as ingesting,
        _running_service(query_settings, store, settings.host, settings.port),
    ):
        ready(addresses)
        await asyncio.wait({ingesting, asyncio.create_task(asked.wait())}, return_when=asyncio.FIRST_COMPLETED)


@asynccontextmanager
async def _running_ingestor(ingestor: Ingestor) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(ingestor.run(), name="ingestor")
    try:
        yield task
    finally:
        if not task.done():
            await ingestor.stop()
        await task


class _Service(Server):
    """The service without a hand on the process's signals: on them the whole stack drains, in its order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _running_service(settings: QuerySettings, store: Store, host: str, port: int) -> AsyncIterator[None]:
    app = create_app(settings, store)
    server = _Service(app, uvicorn.Config(app, host=host, port=port, log_level="warning"))
    task = asyncio.create_task(server.serve(), name="service")
    try:
        while not server.started:
            if task.done():
                raise StackError(f"the service did not start on {host}:{port}")
            await asyncio.sleep(_POLL_SECONDS)
        yield
    finally:
        server.should_exit = True
        await task
