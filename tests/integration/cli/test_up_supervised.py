"""A real `stepwell up` whose parts are killed, frozen and left without disk space, and that is stopped meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from support.servers.command import run_stepwell
from support.servers.scripts import start_part, start_script

pytestmark = pytest.mark.timeout(900)

STEPWELL = Path(sys.executable).parent / "stepwell"
DEADLINE_SECONDS = 240.0
MIB = 1 << 20
T = TypeVar("T")
VOLUME_MIB = 900


class Up:
    """One `stepwell up` at a time, on one folder."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log
        self.url = ""
        self.environment = {
            **os.environ,
            "STEPWELL_KAFKA_HEAP_MB": "256",
            "STEPWELL_DISK_ALERT_BYTES": str(300 * MIB),
            "STEPWELL_DISK_RESERVE_BYTES": str(200 * MIB),
            "STEPWELL_DIR": str(log.parent / "journals"),
            "STEPWELL_ENTITY": "me",
            "STEPWELL_PROJECT": "p",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the stack, and wait until it accepts requests."""
        self.log.unlink(missing_ok=True)
        command = [str(STEPWELL), "up", "--dir", str(self.folder), "--port", "0"]
        self.process = start_part(command, self.log, self.environment)
        self.url = until(self._address, "a start")
        self.environment["STEPWELL_BASE_URL"] = self.url

    def _address(self) -> str:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2_000:]
        return next((m[1] for m in re.finditer(r"^ready (\S+)$", self.log.read_text(), re.MULTILINE)), "")

    def end(self, *signals: signal.Signals) -> tuple[int, float]:
        """Send signals; return the exit code and the seconds until the end."""
        assert self.process is not None
        began = time.monotonic()
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(60), time.monotonic() - began

    def parts(self) -> dict[str, Any]:
        """Return the parts in `/readyz`."""
        answer = httpx.get(f"{self.url}/readyz", timeout=30)
        assert "parts" in answer.json(), answer.text
        parts: dict[str, Any] = answer.json()["parts"]
        return parts

    def ready(self) -> bool:
        """Return whether the stack receives and stores events."""
        return httpx.get(f"{self.url}/readyz", timeout=30).is_success

    def status(self) -> tuple[int, dict[str, Any]]:
        """Return the exit code and the report of `stepwell status --json`."""
        done = run_stepwell("status", "--json", environment=self.environment, code=None)
        report: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, report

    def alarms(self) -> set[str]:
        """Return the names of the active alarms."""
        code, report = self.status()
        assert bool(code) == (not report["ready"] or bool(report["alarms"]))
        return {alarm["name"] for alarm in report["alarms"]}

    def broker(self) -> psutil.Process:
        """Return the broker's process."""
        assert self.process is not None
        [broker] = [child for child in psutil.Process(self.process.pid).children() if "java" in child.name()]
        return broker

    def train(self, script: str) -> subprocess.Popen[str]:
        """Start a training script, which gets lines on its standard input."""
        return start_script(script, [], self.environment)


def until(ask: Callable[[], T], what: str) -> T:
    """Wait until a function returns a true value, and return it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        with suppress(httpx.HTTPError):
            if answer := ask():
                return answer
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder on a separate volume, or the reason for which it could not be mounted."""
    folder = tmp_path_factory.mktemp("up") / "server"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={VOLUME_MIB}m,mode=755", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        trouble = done.stderr.strip() if done.returncode else ""
    except OSError as error:
        trouble = str(error)
    yield folder, trouble
    if not trouble:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def up(volume: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack for all tests of this module, the last two of which end it."""
    running = Up(volume[0], tmp_path_factory.mktemp("up") / "up.log")
    running.start()
    yield running
    assert running.process is not None
    running.process.kill()
    running.process.wait()


def mode(file: Path) -> int:
    """Return the mode of a file; that of a file without rights for one that was removed meanwhile."""
    try:
        return file.stat().st_mode
    except FileNotFoundError:
        return 0


def test_all_parts_are_up_and_the_folder_is_its_owners_alone(up: Up) -> None:
    until(up.ready, "readiness")
    assert {name: part["state"] for name, part in up.parts().items()} == dict.fromkeys(
        ("clickhouse", "broker", "ingestor", "gateway"), "up"
    )
    code, report = up.status()
    assert (code, report["ready"], report["alarms"]) == (0, True, [])
    assert report["disk_free_bytes"] > 0
    files = [up.folder, *up.folder.rglob("*")]
    assert not [file for file in files if mode(file) & 0o077]


_TRAINING = """
import stepwell, sys
run = stepwell.init(id=sys.stdin.readline().strip(), settings={"quiet": True})
rows = 0
for line in sys.stdin:
    for _ in range(50):
        run.log({"row": rows})
        rows += 1
    print(rows, flush=True)
receipt = run.finish(quiet=True, timeout=100)
print(receipt.logged, receipt.stored, receipt.pending, receipt.dead_letters, flush=True)
"""


def log_fifty(training: subprocess.Popen[str]) -> None:
    """Make a training script log 50 rows, and wait for its confirmation."""
    assert training.stdin is not None
    assert training.stdout is not None
    print("go", file=training.stdin, flush=True)
    assert int(training.stdout.readline()) > 0


def begin(up: Up, run: str) -> subprocess.Popen[str]:
    """Start a training script."""
    training = up.train(_TRAINING)
    assert training.stdin is not None
    print(run, file=training.stdin, flush=True)
    return training


def stored(up: Up, run: str) -> list[float]:
    """Return the stored rows of a run."""
    answer = httpx.get(f"{up.url}/api/v1/runs/me/p/{run}/history", params={"key": "row", "samples": 10_000}, timeout=30)
    return [row["row"] for row in answer.raise_for_status().json()["rows"]] if answer.status_code == 200 else []


def test_a_killed_broker_comes_back_at_its_address_and_loses_nothing(up: Up) -> None:
    with begin(up, "killed") as training:
        log_fifty(training)
        until(lambda: stored(up, "killed"), "the first rows")
        broker = up.broker()
        restarts = up.parts()["broker"]["restarts"]
        broker.kill()
        log_fifty(training)
        until(lambda: not up.ready(), "its end in /readyz")
        answer = httpx.get(f"{up.url}/readyz")
        assert answer.headers["content-type"] == "application/problem+json"
        parts = answer.json()["parts"]
        assert (parts["broker"]["reason"], parts["clickhouse"]["state"]) == ("killed_by_SIGKILL", "up")
        assert str(up.folder) not in answer.text
        assert up.status()[0] == 1
        assert len(stored(up, "killed")) >= 50
        assert httpx.get(f"{up.url}/healthz").is_success
        log_fifty(training)
        until(up.ready, "a new broker")
        assert up.parts()["broker"]["restarts"] > restarts
        log_fifty(training)
        assert training.stdin is not None
        assert training.stdout is not None
        training.stdin.close()
        assert training.stdout.readline() == "200 200 0 0\n"
    assert stored(up, "killed") == [float(row) for row in range(200)]
    assert 'stepwell_up_part_restarts_total{part="broker"}' in httpx.get(f"{up.url}/metrics").text
    # A minute without a steady run; a single end raises no alarm.
    assert "broker_down" not in up.alarms()


def fill(file: Path, leave: int) -> None:
    """Write a file that leaves a number of bytes free on its volume."""
    free = psutil.disk_usage(str(file.parent)).free
    with file.open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, free - leave)


def test_ingestion_stops_before_the_disk_is_full_and_continues(up: Up, volume: tuple[Path, str]) -> None:
    if volume[1]:
        pytest.skip(f"no volume could be mounted: {volume[1]}")
    ballast = up.folder / "ballast"
    with begin(up, "full") as training:
        log_fifty(training)
        until(lambda: len(stored(up, "full")), "the first rows")
        fill(ballast, 250 * MIB)
        until(lambda: up.alarms() == {"disk_low"}, "the alarm")
        assert up.ready()
        fill(up.folder / "more", 150 * MIB)
        until(lambda: up.parts()["ingestor"]["state"] == "held", "the stop of the ingestor")
        assert up.parts()["broker"]["state"] == "up"
        assert {"disk_low", "disk_reserve"} <= up.alarms()
        log_fifty(training)
        fill(up.folder / "most", 80 * MIB)
        until(lambda: up.parts()["broker"]["state"] == "held", "the stop of the broker")
        log_fifty(training)
        assert stored(up, "full") == [float(row) for row in range(50)]
        for file in ("ballast", "more", "most"):
            (up.folder / file).unlink()
        until(up.ready, "readiness")
        assert training.stdin is not None
        assert training.stdout is not None
        training.stdin.close()
        assert training.stdout.readline() == "150 150 0 0\n"
    assert up.alarms() == set()


def test_it_ends_while_its_broker_can_not_be_restarted(up: Up) -> None:
    port = int(httpx.get(f"{up.url}/api/v1/connect").json()["kafka"]["bootstrap_servers"].rpartition(":")[2])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        up.broker().kill()

        def taken() -> bool:
            with suppress(OSError):
                other.bind(("127.0.0.1", port))
                other.listen()
                return True
            return False

        until(taken, "its port")
        until(lambda: up.parts()["broker"]["reason"] == "port_in_use", "the reason")
        code, seconds = up.end(signal.SIGTERM)
    assert (code, seconds < 20) == (0, True), up.log.read_text()[-2_000:]


def test_it_ends_in_time_with_a_frozen_broker_and_clients_that_stay(up: Up) -> None:
    meta = up.folder / "kafka" / "log" / "meta.properties"
    meta.write_text("")
    up.start()
    assert meta.read_text()
    broker = up.broker()
    with begin(up, "frozen") as training, httpx.Client(base_url=up.url, timeout=30) as client:
        log_fifty(training)
        until(lambda: stored(up, "frozen"), "the first rows")
        with client.stream("GET", "/api/v1/projects/me/p/events") as events:
            next(events.iter_lines())
            broker.send_signal(signal.SIGSTOP)
            log_fifty(training)
            code, seconds = up.end(signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
        training.kill()
    assert seconds < 20, up.log.read_text()[-2_000:]
    assert code == 1
    assert "shutdown_incomplete" in up.log.read_text()
    assert not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE
