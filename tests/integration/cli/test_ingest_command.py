"""`stepwell ingest` as a process of its own: what it serves, and that it ends when told to."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

from stepwell_deploy.ports import claim_port
from support.servers.sdk import eventually
from support.servers.stack import Topics

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
