"""ClickHouse's JDBC driver, which DBeaver uses, with the ClickHouse port; jgo fetches it by its Maven coordinates."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import jgo
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.paths import TESTS
from support.servers.stack import Stack

DRIVER = "com.clickhouse:clickhouse-jdbc:0.8.6"
SOURCE = TESTS / "support" / "java" / "Guest.java"


@pytest.fixture(scope="module")
def java() -> str:
    """A Java that runs source files."""
    found = shutil.which("java")
    if found is None:
        pytest.skip("there is no java on this machine; the JDK that Kafka runs on can't run source files")
    modules = subprocess.run([found, "--list-modules"], capture_output=True, text=True, check=False).stdout
    if "jdk.compiler" not in modules:
        pytest.skip(f"{found} is no JDK of version 11 or later, which runs source files")
    return found


def test_the_jdbc_driver_reads_as_a_guest(java: str, stack: Stack, open_store: Callable[[str], Store]) -> None:
    store = open_store("http")
    RunWriter(store, RunPath("me", "digits", "one")).document().numbers("it's", range(3), [1.0, 0.5, 0.25])
    jars = ":".join(str(jar) for jar in jgo.build(DRIVER).all_jars)
    command = [java, "-cp", jars, str(SOURCE), stack.guest_dsn(), store.database]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "version true",
        f"schemas {store.database}",
        "tables numbers",
        "columns entity,project,run_id,key,step,timestamp,value,exact",
        "rows 1,0.5,0.25",
        "large 100000",
        "refused UNKNOWN_IDENTIFIER",
        "refused READONLY",
    ]
