"""Inserts are one block, synchronous and deduplicated by their token, whatever the defaults of the server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.paths import TESTS

# Defaults of the engine, as an operator may set them in a profile; it takes them from its first connection.
HOSTILE = {
    "async_insert": 1,
    "wait_for_async_insert": 0,
    "async_insert_busy_timeout_max_ms": 60_000,
    "async_insert_busy_timeout_min_ms": 60_000,
    "max_insert_threads": 4,
    "max_insert_block_size": 1_000,
    "max_insert_block_size_bytes": 1_000,
    "min_insert_block_size_rows": 1_000,
    "min_insert_block_size_bytes": 1,
    "use_strict_insert_block_limits": 1,
    "insert_deduplicate": 0,
    "deduplicate_insert": "disable",
}
ROWS = 5_000

SCRIPT = f"""
import sys
from pathlib import Path
from urllib.parse import urlencode

import chdb
import numpy as np

from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter, gathered

folder = Path(sys.argv[1])
engine = chdb.connect(f"{{folder}}?{{urlencode({HOSTILE!r})}}")
server = ClickHouseHttp(folder, "127.0.0.1", 0, "tests", "tests")
server.start()

def write(dsn, database):
    with connect(dsn, database) as store:
        migrate(store)
        default = store.query("SELECT value FROM system.settings WHERE name = 'async_insert'")
        assert default["value"].to_pylist() == ["1"]
        store.command("SYSTEM STOP MERGES")
        with gathered(store) as gathering:
            RunWriter(gathering, RunPath("e", "p", "r"), rolled=False).numbers("k", np.arange({ROWS}), np.zeros({ROWS}))
        rows = store.query("SELECT * EXCEPT writer FROM {{db}}.points_number")
        for _ in range(2):
            store.insert("points_number", rows, "token")
        parts = store.query(
            f"SELECT rows FROM system.parts WHERE database = '{{database}}' AND table = 'points_number' AND active"
        )
        print(database, parts["rows"].to_pylist())


try:
    write(f"chdb://{{folder}}", "over_chdb")
    write(f"http://tests:tests@127.0.0.1:{{server.port}}", "over_http")
finally:
    server.stop()
"""


def test_no_default_of_a_server_changes_an_insert(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "engine")]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    wanted = [f"{database} [{ROWS}, {ROWS}]" for database in ("over_chdb", "over_http")]
    assert done.stdout.splitlines()[-2:] == wanted, done.stdout
