"""Errors of the broker and of other child processes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwell_deploy.errors import BrokerError, PortInUseError
from stepwell_deploy.local.kafka import LocalKafka
from stepwell_deploy.local.processes import start_child, stop_child

_DEADLINE_SECONDS = 30.0


def test_a_broker_that_dies_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broker = LocalKafka(tmp_path, properties={"metric.reporters": "no.such.Reporter"})
    with pytest.raises(
        BrokerError, match=r"(?s)Kafka did not start; the end of .*broker\.log says:\n.*no\.such\.Reporter"
    ) as caught:
        broker.start()
    assert (broker.pid, broker.exit_code) == (None, None)
    assert len(str(caught.value).splitlines()) < 30


def test_a_broker_of_a_damaged_log_with_events_does_not_start(tmp_path: Path) -> None:
    partition = tmp_path / "log" / "stepwell.events-0"
    partition.mkdir(parents=True)
    (partition / "00000000000000000000.log").write_bytes(b"events")
    with pytest.raises(BrokerError, match=r"meta\.properties"):
        LocalKafka(tmp_path).start()
    assert (partition / "00000000000000000000.log").read_bytes() == b"events"


def test_a_start_is_ended_from_another_thread(tmp_path: Path) -> None:
    broker = LocalKafka(tmp_path)
    threading.Timer(0.1, broker.abort).start()
    with pytest.raises(BrokerError):
        broker.start()
    assert broker.pid is None


def test_a_broker_on_a_taken_port_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 .* set STEPWELL_KAFKA_PORT"):
            LocalKafka(tmp_path, port).start()


def test_a_child_gets_time_to_drain(tmp_path: Path) -> None:
    child = _ready(tmp_path, "signal.signal(15, lambda *_: (print('drained', flush=True), sys.exit(3)))")
    stop_child(child, _DEADLINE_SECONDS)
    assert child.returncode == 3
    assert "drained" in (tmp_path / "output").read_text()


def test_a_child_that_will_not_end_is_killed(tmp_path: Path) -> None:
    child = _ready(tmp_path, "signal.signal(15, signal.SIG_IGN)")
    stop_child(child, 0.2)
    assert child.returncode == -signal.SIGKILL
    stop_child(child, 0.2)


def _ready(folder: Path, setup: str) -> subprocess.Popen[bytes]:
    """Start a child that has run `setup` and now waits."""
    code = f"import signal, sys, time; {setup}; print('ready', flush=True); time.sleep(60)"
    child = start_child([sys.executable, "-c", code], folder / "output")
    _wait_until(lambda: "ready" in (folder / "output").read_text())
    return child


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)
