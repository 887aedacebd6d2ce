"""Brokers that move to another address, or are replaced, during a run: what was logged is delivered once."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import stepwell
from stepwell_deploy.local.kafka import LocalKafka
from stepwell_deploy.local.processes import start_child
from stepwell_deploy.ports import claim_port
from stepwell_schemas.clickhouse.store import Store
from support.readers.events import read_column, read_events
from support.servers.sdk import eventually, serving
from support.servers.stack import Topics

pytestmark = pytest.mark.timeout(600)

_ROWS = 500
_UP_SECONDS = 240.0
_TOPICS = Topics("events", "deadletters")
_STEPWELL = Path(sys.executable).parent / "stepwell"


class Moving:
    """A broker that is restarted at other ports, and the service that names its address."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.folder = folder
        self.store = store
        self.port = claim_port("127.0.0.1", 0, "")
        self.broker = LocalKafka(folder / "kafka", heap_mb=256)
        self.rows = 0

    def start(self, broker: LocalKafka) -> None:
        """Start a broker, with its topics if it is a new one."""
        self.broker = broker
        broker.start()
        asyncio.run(_TOPICS.create(broker.bootstrap_servers))

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Name the broker's present address for the block."""
        servers = self.broker.bootstrap_servers
        with serving(self.store, self.port, kafka_bootstrap_servers=servers, events_topic=_TOPICS.events):
            yield

    def init(self, **settings: Any) -> stepwell.Run:
        """Start a run that knows the service alone."""
        given = {
            "base_url": f"http://127.0.0.1:{self.port}",
            "ack_timeout_seconds": 2,
            "retry_seconds": 0.2,
            "dir": self.folder / "journals",
        }
        return stepwell.init(id="run", entity="e", project="p", settings={**given, **settings})

    def log(self, run: stepwell.Run) -> None:
        """Log some rows."""
        for _ in range(_ROWS):
            run.log({"row": self.rows})
            self.rows += 1

    def delivered(self, topic: str = _TOPICS.events) -> list[float]:
        """Return the rows in the broker's log."""
        return read_column(read_events(self.broker.bootstrap_servers, topic), "row")


@pytest.fixture
def moving(chdb_store: Store, tmp_path: Path) -> Iterator[Moving]:
    """A broker and a service of this test's own, started."""
    moving = Moving(tmp_path, chdb_store)
    moving.start(moving.broker)
    yield moving
    moving.broker.stop()


def is_acknowledged(run: stepwell.Run) -> Callable[[], bool]:
    """Return a function that returns whether everything logged was acknowledged."""
    return lambda: run._journal.acknowledged.sequence == run._journal.sequence


@pytest.mark.parametrize("pending", [True, False], ids=["pending", "idle"])
def test_a_run_follows_its_broker_to_another_port(moving: Moving, pending: bool) -> None:
    with moving.serve():
        run = moving.init()
        moving.log(run)
        eventually(is_acknowledged(run), True)
    moving.broker.stop()
    if pending:
        moving.log(run)
        time.sleep(1)
    moving.start(LocalKafka(moving.folder / "kafka", heap_mb=256))
    with moving.serve():
        moving.log(run)
        receipt = run.finish(timeout=60)
        assert (receipt.pending, receipt.error, receipt.blocked) == (0, "", "")
        assert moving.delivered() == [float(row) for row in range(moving.rows)]


def test_brokers_that_come_back_are_found_while_the_service_is_away(moving: Moving) -> None:
    with moving.serve():
        run = moving.init()
        moving.log(run)
        eventually(is_acknowledged(run), True)
    moving.broker.stop()
    moving.log(run)
    eventually(lambda: run._delivery.blocked, "no-broker")
    moving.start(moving.broker)
    eventually(is_acknowledged(run), True)
    assert run.finish(timeout=60).blocked == ""
    assert moving.delivered() == [float(row) for row in range(moving.rows)]


def test_another_cluster_gets_what_the_first_one_did_not_acknowledge(
    moving: Moving, capfd: pytest.CaptureFixture[str]
) -> None:
    with moving.serve():
        run = moving.init()
        moving.log(run)
        eventually(is_acknowledged(run), True)
    moving.broker.stop()
    moving.log(run)
    eventually(lambda: run._delivery.blocked, "no-broker")
    moving.start(LocalKafka(moving.folder / "other", heap_mb=256))
    with moving.serve():
        assert run.finish(timeout=60).pending == 0
    events = read_events(moving.broker.bootstrap_servers, _TOPICS.events)
    assert events[0].sequence == _ROWS + 1, "the start of the run and its first rows are in the first cluster"
    cluster = re.search(r"cluster\.id=(\S+)", (moving.folder / "other/log/meta.properties").read_text())
    assert cluster is not None
    assert len([line for line in capfd.readouterr().err.splitlines() if cluster[1] in line]) == 1


def test_the_receipt_says_that_there_is_no_topic(moving: Moving) -> None:
    with serving(
        moving.store, moving.port, kafka_bootstrap_servers=moving.broker.bootstrap_servers, events_topic="none"
    ):
        run = moving.init()
        moving.log(run)
        receipt = run.finish(timeout=10)
    assert (receipt.blocked, receipt.pending) == ("no-topic", _ROWS + 2)


_TRAINING = """
import stepwell, sys
run = stepwell.init(id="run", settings={"quiet": True, "ack_timeout_seconds": 2})
rows = 0
for line in sys.stdin:
    for _ in range(200):
        run.log({"row": rows})
        rows += 1
    print(rows, flush=True)
receipt = run.finish(quiet=True, timeout=100)
print(receipt.logged, receipt.stored, receipt.pending, receipt.blocked, flush=True)
"""


def test_a_run_goes_on_through_a_restart_of_up_with_its_default_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = claim_port("127.0.0.1", 0, "")
    monkeypatch.setenv("STEPWELL_KAFKA_HEAP_MB", "256")
    monkeypatch.setenv("STEPWELL_DIR", str(tmp_path / "journals"))
    monkeypatch.setenv("STEPWELL_BASE_URL", f"http://127.0.0.1:{port}")

    processes: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        command = [str(_STEPWELL), "up", "--dir", str(tmp_path / "server"), "--port", str(port)]
        processes.append(start_child(command, tmp_path / "up.log", None))
        deadline = time.monotonic() + _UP_SECONDS
        while not _is_ready(port):
            assert processes[-1].poll() is None, (tmp_path / "up.log").read_text()[-2_000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return str(httpx.get(f"http://127.0.0.1:{port}/api/v1/connect").json()["kafka"]["bootstrap_servers"])

    try:
        first = start()
        with subprocess.Popen(
            [sys.executable, "-c", _TRAINING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as training:
            assert training.stdin is not None
            assert training.stdout is not None
            _log(training)
            processes[-1].send_signal(signal.SIGTERM)
            processes[-1].wait(60)
            _log(training)
            assert start() != first
            _log(training)
            training.stdin.close()
            assert training.stdout.readline() == "600 600 0 \n"
    finally:
        processes[-1].send_signal(signal.SIGTERM)
        processes[-1].wait(60)


def _log(training: subprocess.Popen[str]) -> None:
    assert training.stdin is not None
    assert training.stdout is not None
    print("go", file=training.stdin, flush=True)
    assert int(training.stdout.readline()) > 0


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=30).is_success
    except httpx.HTTPError:
        return False
