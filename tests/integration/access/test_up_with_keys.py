"""A real `stepwell up` with access control: its ClickHouse port takes keys, and its audit log is stored at its end."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path

import httpx
import pytest

from support.servers.command import run_stepwell
from support.servers.scripts import start_part
from support.servers.sdk import eventually

ADMIN_KEY = "an-administrator-s-key-of-the-settings-0123456789"
START_SECONDS = 240.0
STEPWELL = Path(sys.executable).parent / "stepwell"


@pytest.mark.timeout(600)
def test_the_clickhouse_port_takes_keys_and_statements_are_audited(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    environment = {
        **os.environ,
        "STEPWELL_ADMIN_KEY": ADMIN_KEY,
        "STEPWELL_CLICKHOUSE_PORT": "auto",
        "STEPWELL_KAFKA_HEAP_MB": "256",
    }
    up = start_part([str(STEPWELL), "up", "--dir", str(tmp_path / "data"), "--port", "0"], log, environment)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not re.search(r"^ready ", log.read_text(), re.MULTILINE):
            assert up.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        text = log.read_text()
        service, port = (re.search(rf"\b{name} (http\S+)", text) for name in ("ready", "clickhouse"))
        assert service is not None, text
        assert port is not None, text
        statement = "SELECT count() AS mark FROM stepwell.runs"
        assert httpx.get(port[1], params={"query": statement}).headers["X-ClickHouse-Exception-Code"] == "516"
        assert httpx.get(port[1], params={"query": statement}, auth=("any", ADMIN_KEY)).text == "0\n"
        client = {"STEPWELL_BASE_URL": service[1], "STEPWELL_API_KEY": ADMIN_KEY}
        assert b"mark" in run_stepwell("sql", statement, environment=client).stdout

        def listed() -> set[tuple[str, str]]:
            done = run_stepwell("audit", "--action", "sql", "--json", environment=client)
            return {(entry["actor"], entry["detail"]["via"]) for entry in json.loads(done.stdout)}

        eventually(listed, {("admin", "clickhouse"), ("admin", "api")})
        up.send_signal(signal.SIGTERM)
        assert up.wait(60) == 0, log.read_text()
        assert "audit_entries_lost" not in log.read_text()
        assert ADMIN_KEY not in log.read_text()
    finally:
        up.kill()
        up.wait(60)
