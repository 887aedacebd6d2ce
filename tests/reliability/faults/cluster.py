"""The real parts as processes that can be killed, paused and disconnected: broker, engine, and the services."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from reliability.faults.engine import USER
from reliability.faults.part import Part
from reliability.faults.proxy import Proxy
from stepwell_deploy.local.kafka import LocalKafka
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.errors import StoreError
from stepwell_schemas.settings import KafkaSettings
from support.paths import TESTS
from support.servers.ports import claim_lasting_port
from support.servers.topics import create_topics

PARTITIONS: Final = 4
STEPWELL: Final = Path(sys.executable).parent / "stepwell"
# A dead ingestor's partitions are reassigned after this time, so that a schedule of seconds has several changes.
_SESSION_SECONDS: Final = 2.0
_START_SECONDS: Final = 60.0
_STRIKE_SECONDS: Final = 2.0
# Training processes notice brokers that are back as soon as these are: outages of a schedule last for seconds.
QUICK_TRAINERS: Final = {"STEPWELL_ACK_TIMEOUT_SECONDS": "3", "STEPWELL_RETRY_SECONDS": "0.3"}


class Broker:
    """The broker, with the interface of the other parts."""

    def __init__(self, folder: Path, proxy: Proxy) -> None:
        self.name = "broker"
        self.killed = 0
        self.exits: list[int] = []
        self._folder = folder
        self._kafka = self._configure(proxy)
        self._start_at = 0.0
        self._resume_at: float | None = None

    def _configure(self, proxy: Proxy) -> LocalKafka:
        proxy.target = claim_lasting_port()
        properties = {
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}",
            "group.min.session.timeout.ms": str(round(_SESSION_SECONDS * 1_000)),
        }
        return LocalKafka(self._folder / "kafka", proxy.target, properties=properties)

    def move(self, proxy: Proxy) -> None:
        """Have the next start at the port of another proxy. The broker is down."""
        self._kafka = self._configure(proxy)

    def supervise(self, now: float) -> None:
        """Start the process if it is down and due; resume it if its pause is over."""
        if self._kafka.pid is None and now >= self._start_at:
            self._kafka.start()
        if self._resume_at is not None and now >= self._resume_at:
            self.resume()

    def kill(self, now: float, down_seconds: float) -> None:
        """Send SIGKILL; the process stays down for a while."""
        if self._kafka.pid is not None:
            os.kill(self._kafka.pid, signal.SIGKILL)
            self._kafka.stop()
            self.killed += 1
            self._start_at = now + down_seconds

    def terminate(self, now: float) -> None:
        """Send SIGTERM, and restart immediately."""
        self._kafka.stop()
        self._start_at = now

    def pause(self, now: float, seconds: float) -> None:
        """Send SIGSTOP, for a while."""
        if self._kafka.pid is not None:
            os.kill(self._kafka.pid, signal.SIGSTOP)
            self._resume_at = now + seconds

    def resume(self) -> None:
        """Send SIGCONT."""
        self._resume_at = None
        if self._kafka.pid is not None:
            os.kill(self._kafka.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Stop the process permanently."""
        self.resume()
        self._kafka.stop()


class Cluster:
    """Everything between a training process and SQL. Clients of broker and engine go through proxies.

    Use it from the main thread.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker_proxy, self.engine_proxy = Proxy(), Proxy()
        self.engine_proxy.target = claim_lasting_port()
        service_port, gateway_port = claim_lasting_port(), claim_lasting_port()
        self.dsn = f"http://{USER}:{USER}@127.0.0.1:{self.engine_proxy.port}"
        self.settings = KafkaSettings(
            kafka_bootstrap_servers=f"127.0.0.1:{self.broker_proxy.port}",
            events_topic="reliability.faults.events",
            deadletters_topic="reliability.faults.deadletters",
        )
        self.environment = {
            "PYTHONPATH": str(TESTS),
            "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": self.settings.kafka_bootstrap_servers,
            "STEPWELL_EVENTS_TOPIC": self.settings.events_topic,
            "STEPWELL_DEADLETTERS_TOPIC": self.settings.deadletters_topic,
            "STEPWELL_CLICKHOUSE_DSN": self.dsn,
            "STEPWELL_BASE_URL": f"http://127.0.0.1:{service_port}",
            "STEPWELL_QUERY_PORT": str(service_port),
            "STEPWELL_GATEWAY_PORT": str(gateway_port),
            "STEPWELL_GATEWAY_URL": f"http://127.0.0.1:{gateway_port}",
            "STEPWELL_GATEWAY_ACK_SECONDS": "3",
            "STEPWELL_INGESTOR_SESSION_SECONDS": str(_SESSION_SECONDS),
            "STEPWELL_INGESTOR_FLUSH_SECONDS": "0.1",
            "STEPWELL_INGESTOR_RETRY_SECONDS": "1",
            **QUICK_TRAINERS,
        }
        self.broker = Broker(folder, self.broker_proxy)
        engine = [
            sys.executable,
            "-m",
            "reliability.faults.engine",
            str(folder / "engine"),
            str(self.engine_proxy.target),
        ]
        self.engine = Part("engine", engine, self.environment, folder)
        self._notes = folder / "engine" / "store"
        ingest = [str(STEPWELL), "ingest"]
        self.ingestors = [Part(f"ingestor{n}", ingest, self.environment, folder) for n in range(2)]
        self.query = Part("query", [str(STEPWELL), "query"], self.environment, folder)
        # Without keys, it needs no engine: trainers write while that is down.
        without_engine = {name: value for name, value in self.environment.items() if "CLICKHOUSE" not in name}
        self.gateway = Part("gateway", [str(STEPWELL), "gateway"], without_engine, folder)

    @property
    def parts(self) -> list[Part | Broker]:
        """All parts."""
        return [self.broker, self.engine, *self.ingestors, self.query, self.gateway]

    def start(self) -> None:
        """Start everything, and create the topics and the tables."""
        self.broker.supervise(time.monotonic())
        asyncio.run(create_topics(self.settings, PARTITIONS))
        self.supervise()
        self.store().close()

    def stop(self) -> None:
        """Stop everything."""
        for part in reversed(self.parts):
            part.stop()
        self.broker_proxy.stop()
        self.engine_proxy.stop()

    def strike(self, now: float, down_seconds: float) -> None:
        """Kill the engine as soon as it records the token of an insert, or after a while if there is no insert.

        At this moment the rows are not in their table yet: see `stepwell_ingestor.flush.insert_check`.
        """
        logs = list(self._notes.glob("*/*/deduplication_logs/*"))
        before, until = _bytes_in(logs), now + _STRIKE_SECONDS
        while time.monotonic() < until and _bytes_in(logs) == before:
            continue
        self.engine.kill(time.monotonic(), down_seconds)

    def kill_all(self) -> None:
        """Kill all parts; the next `supervise` restarts them."""
        for part in self.parts:
            part.kill(time.monotonic(), 0.0)

    def move_broker(self) -> None:
        """Let the broker have another port from its next start on, as `stepwell up` does. All parts are down."""
        self.broker_proxy.stop()
        self.broker_proxy = Proxy()
        self.broker.move(self.broker_proxy)
        self._change_settings(kafka_bootstrap_servers=f"127.0.0.1:{self.broker_proxy.port}")

    def use_topic(self, name: str) -> None:
        """Create another events topic, and restart ingestors and service with it."""
        self._change_settings(events_topic=name)
        asyncio.run(create_topics(self.settings, PARTITIONS))
        for part in (*self.ingestors, self.query, self.gateway):
            part.kill(time.monotonic(), 0.0)
        self.supervise()

    def _change_settings(self, **changed: str) -> None:
        self.settings = self.settings.model_copy(update=changed)
        self.environment |= {f"STEPWELL_{name.upper()}": value for name, value in changed.items()}
        for part in (*self.ingestors, self.query, self.gateway):
            part.change_environment(self.environment)

    def supervise(self) -> None:
        """Restart the parts that are down and due, and resume those whose pause is over."""
        for part in self.parts:
            part.supervise(time.monotonic())

    def store(self) -> Store:
        """Connect to the engine, once it answers."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                store = connect(self.dsn, "stepwell")
                store.query("SELECT count() FROM {db}.session_activity")
                return store
            except StoreError:
                if time.monotonic() > deadline:
                    raise
                self.supervise()
                time.sleep(0.1)


def _bytes_in(files: Sequence[Path]) -> int:
    try:
        return sum(file.stat().st_size for file in files)
    except FileNotFoundError:  # the engine has begun a new one
        return -1


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Run a cluster for the block."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def wait_until(ask: Callable[[], Any], supervise: Callable[[], None], seconds: float, what: str) -> None:
    """Wait until a condition holds. Raises: AssertionError, with the name of the condition."""
    deadline = time.monotonic() + seconds
    while not ask():
        supervise()
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.1)
