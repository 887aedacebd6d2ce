"""Brokers that move to another address, or are replaced, during a run: what was logged is delivered once."""

from __future__ import annotations

import asyncio
import os
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
from stepwell_schemas.clickhouse.store import Store
from support.readers.events import read_column, read_events
from support.servers.ports import claim_lasting_port
from support.servers.scripts import start_part, start_script
from support.servers.sdk import eventually, ingesting_in_thread, serving
from support.servers.stack import Topics

pytestmark = pytest.mark.timeout(600)

_ROWS = 500
_UP_SECONDS = 240.0
_STEPWELL = Path(sys.executable).parent / "stepwell"


class Brokers:
    """A broker that is restarted at other ports, or replaced; the tests of this module share its present state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "kafka"
        self.present = LocalKafka(self.folder, heap_mb=256)

    def move(self, folder: Path | None = None) -> None:
        """Start the broker, which is stopped, at another port; with a folder, an empty one there instead."""
        self.folder = folder or self.folder
        self.present = LocalKafka(self.folder, heap_mb=256)
        self.present.start()


class Moving:
    """A run's brokers with topics of the test's own, and the service that names their address."""

    def __init__(self, brokers: Brokers, folder: Path, store: Store) -> None:
        self.brokers = brokers
        self.folder = folder
        self.store = store
        self.port = claim_lasting_port()
        self.topics = Topics(f"events-{folder.name}", f"deadletters-{folder.name}")
        self.rows = 0

    @property
    def servers(self) -> str:
        """The brokers' present address."""
        return self.brokers.present.bootstrap_servers

    @contextmanager
    def serve(self) -> Iterator[None]:
        """Name the brokers' present address for the block."""
        with serving(self.store, self.port, kafka_bootstrap_servers=self.servers, events_topic=self.topics.events):
            yield

    @contextmanager
    def serve_and_ingest(self) -> Iterator[None]:
        """Name the brokers' present address for the block, and store what they have: a run's end waits for that."""
        with ingesting_in_thread(self.servers, self.topics, self.store, str(self.folder / "media")), self.serve():
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

    def delivered(self) -> list[float]:
        """Return the rows in the broker's log."""
        return read_column(read_events(self.servers, self.topics.events), "row")


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    """A broker of this module's own."""
    brokers = Brokers(tmp_path_factory.mktemp("brokers"))
    yield brokers
    brokers.present.stop()


@pytest.fixture
def moving(brokers: Brokers, chdb_store: Store, tmp_path: Path) -> Moving:
    """The broker, started, with topics of this test's own."""
    if brokers.present.pid is None:
        brokers.present.start()
    moving = Moving(brokers, tmp_path, chdb_store)
    asyncio.run(moving.topics.create(moving.servers))
    return moving


def is_acknowledged(run: stepwell.Run) -> Callable[[], bool]:
    """Return a function that returns whether everything logged was acknowledged."""
    return lambda: run._journal.acknowledged.sequence == run._journal.sequence


@pytest.mark.parametrize(
    "pending", [pytest.param(True, id="pending"), pytest.param(False, id="idle", marks=pytest.mark.long)]
)
def test_a_run_follows_its_broker_to_another_port(moving: Moving, pending: bool) -> None:
    with moving.serve():
        run = moving.init()
        moving.log(run)
        eventually(is_acknowledged(run), True)
    moving.brokers.present.stop()
    if pending:
        moving.log(run)
        eventually(lambda: run._delivery.blocked != "", True)
    moving.brokers.move()
    with moving.serve_and_ingest():
        moving.log(run)
        receipt = run.finish(timeout=60)
        assert (receipt.pending, receipt.error, receipt.blocked) == (0, "", "")
        assert (receipt.stored, receipt.points) == (moving.rows, moving.rows)
        assert moving.delivered() == [float(row) for row in range(moving.rows)]


def test_brokers_that_come_back_are_found_while_the_service_is_away(moving: Moving) -> None:
    with moving.serve():
        run = moving.init()
        moving.log(run)
        eventually(is_acknowledged(run), True)
    moving.brokers.present.stop()
    moving.log(run)
    eventually(lambda: run._delivery.blocked, "no-broker")
    moving.brokers.present.start()
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
    moving.brokers.present.stop()
    moving.log(run)
    eventually(lambda: run._delivery.blocked, "no-broker")
    moving.brokers.move(moving.folder / "other")
    asyncio.run(moving.topics.create(moving.servers))
    with moving.serve():
        eventually(is_acknowledged(run), True)
    # The service does not answer: the run's end does not wait until the first cluster's rows are stored, too.
    assert run.finish(timeout=60).pending == 0
    events = read_events(moving.servers, moving.topics.events)
    assert events[0].sequence == _ROWS + 1, "the start of the run and its first rows are in the first cluster"
    cluster = re.search(r"cluster\.id=(\S+)", (moving.folder / "other/log/meta.properties").read_text())
    assert cluster is not None
    assert len([line for line in capfd.readouterr().err.splitlines() if cluster[1] in line]) == 1


def test_the_receipt_says_that_there_is_no_topic(broker: str, chdb_store: Store, tmp_path: Path) -> None:
    with serving(chdb_store, kafka_bootstrap_servers=broker, events_topic="none") as url:
        run = stepwell.init(settings={"base_url": url, "dir": tmp_path / "journals"})
        run.log({"row": 0})
        receipt = run.finish(timeout=30)
    assert (receipt.blocked, receipt.pending) == ("no-topic", 3)


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
    port = claim_lasting_port()
    monkeypatch.setenv("STEPWELL_KAFKA_HEAP_MB", "256")
    monkeypatch.setenv("STEPWELL_DIR", str(tmp_path / "journals"))
    monkeypatch.setenv("STEPWELL_BASE_URL", f"http://127.0.0.1:{port}")

    processes: list[subprocess.Popen[bytes]] = []

    def start() -> str:
        command = [str(_STEPWELL), "up", "--dir", str(tmp_path / "server"), "--port", str(port)]
        processes.append(start_part(command, tmp_path / "up.log"))
        deadline = time.monotonic() + _UP_SECONDS
        while not _is_ready(port):
            assert processes[-1].poll() is None, (tmp_path / "up.log").read_text()[-2_000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return str(httpx.get(f"http://127.0.0.1:{port}/api/v1/connect").json()["kafka"]["bootstrap_servers"])

    try:
        first = start()
        with start_script(_TRAINING, [], os.environ) as training:
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
