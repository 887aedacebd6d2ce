"""`stepwell verify` over the real parts: the same is called the same, and each thing that differs is named."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stepwell_schemas.clickhouse import Store
from stepwell_schemas.codec import encode
from stepwell_schemas.events import LogEvent
from stepwell_schemas.identifiers import RunPath
from support.ingest import ingesting, send, settings_of
from support.sdk import Served, eventually, serving
from support.stack import Topics

STEPWELL = Path(sys.executable).parent / "stepwell"
RUN = RunPath("me", "p", "run")
_SECONDS = 90.0

_RICH = """
import math, stepwell
run = stepwell.init(id="run", config={"lr": 0.1})
for row in range(200):
    run.log({"loss": row / 7, "ok": row % 2 == 0})
run.log({"loss": math.nan, "big": 2**62 + 1, "list": [1, 2]})
run.log({"LOSS": -0.0, "note": "fünf"}, step=300)
run.log({"note": "merged", "loss": 5.0}, step=300)
run.log({"loss": 1.0}, step=7)
run.log({"loss": "now a text"})
run.finish()
"""

_LOGGING = """
import sys, threading, stepwell
run = stepwell.init(id="run")
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
row = 0
while not stop.wait(0.002):
    run.log({"row": row})
    row += 1
    if row == 100:
        print("logging", flush=True)
run.finish()
print(row)
"""

_KILLED = """
import os, signal, stepwell
run = stepwell.init(id="run", mode="offline")
for row in range(5):
    run.log({"late": row})
os.kill(os.getpid(), signal.SIGKILL)
"""


def verified(sdk: Served, code: int, run: str = str(RUN), **environment: str) -> dict[str, Any]:
    """Return the report of `stepwell verify --json`, which must end with the exit code."""
    group = f"group-{sdk.environment['STEPWELL_EVENTS_TOPIC']}"
    env = {**os.environ, **sdk.environment, "STEPWELL_INGESTOR_GROUP": group, **environment}
    command = [str(STEPWELL), "verify", run, "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert not done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def differences(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return what differs: key, kind, what, and what journal, log and tables say."""
    return [tuple(difference.values()) for difference in report["differences"]]


@pytest.fixture
def rich(sdk: Served) -> Served:
    """A run with merges, a conflict, a key of two kinds, NaN, a second spelling and an integer beyond float64."""
    sdk.run(_RICH)
    eventually(sdk.state, "finished")
    return sdk


def test_what_was_logged_is_the_same_everywhere(rich: Served) -> None:
    report = verified(rich, 0)
    assert (report["verdict"], report["differences"], report["notes"]) == ("same", [], [])
    assert report["points"] == sum(rich.count(view) for view in ("numbers", "strings", "bools", "others"))
    assert report["series"] == 6
    assert rich.count("step_conflicts") == 1


def test_a_row_that_is_gone_is_named(rich: Served) -> None:
    rich.store.command("DELETE FROM {db}.points_number WHERE key = 'loss' AND step = 100")
    assert differences(verified(rich, 1)) == [("loss", "number", "points", None, 203, 202)]
