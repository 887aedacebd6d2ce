"""`stepwell ingest` and `stepwell query` as processes of their own: what they serve, and their end on a signal."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

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
            with connection:
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
            statement = {"sql": "SELECT sum(sleepEachRow(1)) FROM numbers(25) SETTINGS max_block_size = 1"}
            asked = threading.Thread(target=_ask, args=(url, statement))
            asked.start()
            eventually(lambda: "in_progress 3.0" in client.get("/metrics").text, True)
            began = time.monotonic()
            process.terminate()
            code = process.wait(30)
            assert time.monotonic() - began < 20
            assert code == 0
        asked.join(30)


def _ask(url: str, statement: dict[str, str]) -> None:
    with suppress(httpx.HTTPError):
        httpx.post(f"{url}/api/v1/sql", json=statement, timeout=60)
