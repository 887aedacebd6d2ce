"""`stepwell ingest` as a separate process: its metrics, and its end on a signal."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.servers.ports import claim_lasting_port
from support.servers.sdk import eventually
from support.servers.stack import Stack, Topics

_STEPWELL = Path(sys.executable).parent / "stepwell"


def test_its_metrics_are_served_while_it_waits_for_clickhouse(broker: str, topics: Topics) -> None:
    port = claim_lasting_port()
    environment = {
        **os.environ,
        "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": broker,
        "STEPWELL_EVENTS_TOPIC": topics.events,
        "STEPWELL_CLICKHOUSE_DSN": "http://127.0.0.1:9",
        "STEPWELL_INGESTOR_METRICS_PORT": str(port),
    }
    with subprocess.Popen([str(_STEPWELL), "ingest"], env=environment, stderr=subprocess.PIPE, text=True) as process:

        def named() -> bool:
            try:
                return "stepwell_ingestor_lag_events" in httpx.get(f"http://127.0.0.1:{port}/metrics").text
            except httpx.HTTPError:
                return False

        eventually(named, True)
        assert process.stderr is not None
        assert json.loads(process.stderr.readline())["event"] == "store_unreachable"
        began = time.monotonic()
        process.terminate()
        process.wait(30)
        assert time.monotonic() - began < 20


def test_it_ends_in_time_while_the_broker_takes_connections_and_never_answers(stack: Stack, database: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            **os.environ,
            "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{silent.getsockname()[1]}",
            "STEPWELL_CLICKHOUSE_DSN": stack.dsn("http"),
            "STEPWELL_CLICKHOUSE_DATABASE": database,
        }
        with subprocess.Popen([str(_STEPWELL), "ingest"], env=environment, stdout=subprocess.DEVNULL) as process:
            connection, _ = silent.accept()
            with connection, _killed_at_the_end(process):
                began = time.monotonic()
                process.terminate()
                process.terminate()
                assert process.wait(30) == 0
                assert time.monotonic() - began < 20


@contextmanager
def _killed_at_the_end(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Kill a process at the end of the block, since a failed test would wait for it otherwise."""
    try:
        yield
    finally:
        process.kill()
