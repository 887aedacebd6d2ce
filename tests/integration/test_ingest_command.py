"""`stepwell ingest` and `stepwell query` as processes of their own: what they serve, and their end on a signal."""

from __future__ import annotations

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

from stepwell_deploy.folder import claim_port
from stepwell_schemas.clickhouse import Store
from support.sdk import eventually
from support.stack import Stack, Topics

_STEPWELL = Path(sys.executable).parent / "stepwell"


def test_its_metrics_are_served_while_it_waits_for_clickhouse(broker: str, topics: Topics) -> None:
    port = claim_port("127.0.0.1", 0, "")
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
        assert "ClickHouse does not answer" in process.stderr.readline()
        began = time.monotonic()
        process.terminate()
        process.wait(30)
        assert time.monotonic() - began < 20


def test_it_ends_in_time_while_the_broker_takes_connections_and_never_answers(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment = {
            **os.environ,
            "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{silent.getsockname()[1]}",
            "STEPWELL_CLICKHOUSE_DSN": stack.dsn("http"),
        }
        with subprocess.Popen([str(_STEPWELL), "ingest"], env=environment, stdout=subprocess.DEVNULL) as process:
            connection, _ = silent.accept()
            with connection, _killed_at_the_end(process):
                began = time.monotonic()
                process.terminate()
                process.terminate()
                assert process.wait(30) == 0
                assert time.monotonic() - began < 20


def test_a_query_service_ends_in_time_while_clients_stay(stack: Stack, database: str, chdb_store: Store) -> None:
    port = claim_port("127.0.0.1", 0, "")
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        "STEPWELL_CLICKHOUSE_DSN": stack.dsn("http"),
        "STEPWELL_CLICKHOUSE_DATABASE": database,
        "STEPWELL_QUERY_PORT": str(port),
    }
    with (
        subprocess.Popen([str(_STEPWELL), "query"], env=environment, stdout=subprocess.DEVNULL) as process,
        _killed_at_the_end(process),
        httpx.Client(base_url=url, timeout=60) as client,
    ):

        def ready() -> bool:
            try:
                return client.get("/readyz").is_success
            except httpx.HTTPError:
                return False

        eventually(ready, True)
        with client.stream("GET", "/api/v1/projects/me/p/events") as events:
            next(events.iter_lines())
            began = time.monotonic()
            process.terminate()
            code = process.wait(30)
            assert time.monotonic() - began < 20
            assert code == 0


@contextmanager
def _killed_at_the_end(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Kill a process when the block ends, which a failed test would wait for otherwise."""
    try:
        yield
    finally:
        process.kill()
