"""ClickHouse's own JavaScript client with the ClickHouse port; npm installs it into a cache next to the repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.paths import TESTS
from support.servers.stack import Stack

VERSION = "1.23.1"
SCRIPT = TESTS / "support" / "javascript" / "guest.mjs"
OLDEST_NODE = 18


@pytest.fixture(scope="module")
def client() -> Path:
    """The folder with the client, which is installed if missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not on this machine")
    major = int(
        subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout[1:].split(".")[0]
    )
    if major < OLDEST_NODE:
        pytest.skip(f"node {major} is older than {OLDEST_NODE}, which the client needs")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "stepwell-tests" / f"clickhouse-js-{VERSION}"
    if not (folder / "node_modules" / "@clickhouse" / "client" / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run([*install, f"@clickhouse/client@{VERSION}"], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"the registry did not give @clickhouse/client: {done.stderr[-300:]}")
    return folder


def test_the_javascript_client_reads_as_a_guest(client: Path, stack: Stack, open_store: Callable[[str], Store]) -> None:
    store = open_store("http")
    RunWriter(store, RunPath("me", "digits", "one")).document().numbers("loss", range(3), [1.0, 0.5, 0.25])
    command = ["node", str(SCRIPT), str(client), stack.guest_dsn(), store.database]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert read["ping"]
    assert [(row["key"], int(row["step"]), row["value"]) for row in read["numbers"]] == [
        ("loss", 0, 1),
        ("loss", 1, 0.5),
        ("loss", 2, 0.25),
    ]
    assert read["json"]["data"] == [{"one": 1, "text": 'é"'}]
    assert read["parameters"] == [{"a": ["x'y", "z\\"], "n": None, "t": "tab\tline\nquote'"}]
    assert read["settings"] == [{"at": "1970-01-01T00:00:00.000Z"}]
    assert read["streamed"]["count"] == 100_000
    assert read["streamed"]["last"]["text"] == "99999"
    assert [int(row["n"]) for row in read["compressed"]] == [3]
    assert read["csv"] == "0,1\n1,0.5\n2,0.25\n"
    assert read["together"] == [number * 2 for number in range(20)]
    assert read["unknown"] == {"code": "47", "type": "UNKNOWN_IDENTIFIER"}
    assert read["syntax"] == {"code": "62", "type": "SYNTAX_ERROR"}
    assert read["written"] == {"code": "164", "type": "READONLY"}
    assert read["inserted"] == {"code": "164", "type": "READONLY"}
