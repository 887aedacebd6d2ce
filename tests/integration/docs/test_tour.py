"""The README's tour, line by line: `stepwell up`, a training script, and all commands that read its run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.paths import ROOT
from support.servers.command import run_stepwell, start_stepwell

pytestmark = pytest.mark.timeout(300)

README = ROOT / "README.md"
STEPWELL = Path(sys.executable).parent / "stepwell"
_START_SECONDS = 100.0
_VISIBLE_SECONDS = 60.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """This module's own `stepwell up`, with a new broker; it logs no error, and Ctrl-C must end it with exit code 0."""
    folder = tmp_path_factory.mktemp("tour")
    command = [str(STEPWELL), "up", "--dir", str(folder / "server"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        line = up.stdout.readline()
        try:
            assert line.startswith("ready http://127.0.0.1:"), f"{line}{up.stderr.read() if up.stderr else ''}"
            yield line.removeprefix("ready ").strip()
        finally:
            up.send_signal(signal.SIGINT)
            _, notes = up.communicate(timeout=_START_SECONDS)
    assert up.returncode == 0, notes
    assert not [line for line in notes.splitlines() if '"level": "error"' in line], notes


def run(service: str, folder: Path, *command: str) -> str:
    """Run a command with the service's address and return its output; it must succeed."""
    environment = {**os.environ, "STEPWELL_BASE_URL": service, "COLUMNS": "200"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def stepwell(service: str, folder: Path, *arguments: str) -> str:
    """Run `stepwell …` in a forked process with the service's address and return its output; it must succeed."""
    address = {"STEPWELL_BASE_URL": service, "STEPWELL_DIR": str(folder / ".stepwell"), "COLUMNS": "200"}
    environment = {**os.environ, **address}
    done = start_stepwell(*arguments, environment=environment, folder=folder / "output").end(_START_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_script(number: int) -> str:
    """Return one of the README's Python blocks."""
    return README.read_text().split("```python\n")[number + 1].split("```")[0]


def test_the_tour_works_line_by_line(service: str, tmp_path: Path) -> None:
    run(service, tmp_path, sys.executable, "-c", readme_script(0))
    deadline = time.monotonic() + _VISIBLE_SECONDS
    view: dict[str, Any] = {}
    while not view or view["series"][0]["count"] < 1000:
        assert time.monotonic() < deadline, view
        answer = httpx.get(f"{service}/api/v1/runs/me/tour/first/series?key=train/loss&points=100")
        view = answer.json() if answer.is_success else {}
    assert len(view["series"][0]["step"]) <= 100
    # In a new interpreter, as a user runs it; the other commands in forked ones.
    assert "me/tour/first" in run(service, tmp_path, str(STEPWELL), "runs", "me/tour")
    history = ("history", "me/tour/first", "--key", "train/loss", "--samples", "10")
    rows = json.loads(stepwell(service, tmp_path, *history, "--json"))
    assert [rows[0]["train/loss"], rows[-1]["train/loss"]] == [1.0, 1 / 1000]
    metrics = json.loads(stepwell(service, tmp_path, "metrics", "me/tour/first", "--json"))
    assert [(metric["key"], metric["kind"], metric["count"]) for metric in metrics] == [
        ("picture", "image", 1),
        ("samples", "table", 1),
        ("train/accuracy", "number", 1000),
        ("train/loss", "number", 1000),
    ]
    assert "train/loss" in stepwell(service, tmp_path, "metrics", "me/tour/first")
    statement = "SELECT key, count, last_step FROM metrics WHERE run_id = 'first'"
    assert "1000" in stepwell(service, tmp_path, "sql", statement)
    same = "the same: 2,002 points of 4 series, log and tables"
    assert same in stepwell(service, tmp_path, "verify", "me/tour/first")
    printed = run(service, tmp_path, sys.executable, "-c", readme_script(1))
    assert "train/loss" in printed
    assert "<image 'samples' at step 1000>" in printed
    (picture,) = tmp_path.glob("picture-1000-*.png")
    assert picture.name in printed
    status = json.loads(stepwell(service, tmp_path, "status", "--json"))
    assert status["ready"]


def test_a_second_stack_says_what_is_in_its_way(service: str, tmp_path: Path) -> None:
    port = service.rpartition(":")[2]
    up = start_stepwell(
        "up", "--dir", str(tmp_path), "--port", port, environment=os.environ, folder=tmp_path / "output"
    )
    second = up.end(_START_SECONDS)
    assert second.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use by another program" in second.stderr


def test_without_a_service_a_command_says_what_to_do() -> None:
    done = run_stepwell("runs", environment={"STEPWELL_BASE_URL": "http://127.0.0.1:9"}, code=1)
    assert b"start one with `stepwell up`" in done.stderr
