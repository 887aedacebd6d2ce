"""The ClickHouse connection over both DSNs, and the embedded engine's HTTP port."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pyarrow as pa
import pytest

from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.errors import IdentifierError, StoreRejectedError, StoreUnavailableError
from stepwell_schemas.migrations.runner import migrate, migrations
from support.factories.numbers import float_bits
from support.servers.stack import Stack


def some_points(rows: int = 3) -> pa.Table:
    """Return `rows` numbers of one series."""
    names = {"entity": "e", "project": "p", "run_id": "r", "key": 'it\'s "k"'}
    columns = {name: pa.array([value] * rows).dictionary_encode() for name, value in names.items()}
    steps = pa.array(range(rows), pa.int64())
    return pa.table(
        columns
        | {
            "step": steps,
            "timestamp": steps.cast(pa.timestamp("ms", "UTC")),
            "bits": float_bits([row / 7 for row in range(rows - 1)] + [float("nan")]),
            "version": steps.cast(pa.uint64()),
        }
    )


def test_a_token_inserted_twice_lands_once(store: Store) -> None:
    for _ in range(2):
        store.insert("points_number", some_points(), "token")
    assert store.query("SELECT count() AS n FROM {db}.points_number").column("n").to_pylist() == [3]


def test_values_come_back_exactly(store: Store) -> None:
    store.insert("points_number", some_points(), "token")
    read = store.query(
        "SELECT key, step, value FROM {db}.numbers WHERE key = {key:String} ORDER BY step", {"key": 'it\'s "k"'}
    ).to_pylist()
    assert [row["step"] for row in read] == [0, 1, 2]
    assert [row["value"] for row in read[:2]] == [0.0, 1 / 7]
    assert read[2]["value"] != read[2]["value"]
    assert read[0]["key"] == 'it\'s "k"'


def test_the_later_version_of_a_step_is_read(store: Store) -> None:
    store.insert("points_number", some_points(), "first")
    later = some_points().set_column(7, "version", pa.array([9, 9, 9], pa.uint64()))
    store.insert("points_number", later.set_column(6, "bits", float_bits([5.0, 6.0, 7.0])), "second")
    assert store.query("SELECT value FROM {db}.numbers ORDER BY step").column("value").to_pylist() == [5.0, 6.0, 7.0]


def test_a_stream_is_the_whole_result(store: Store) -> None:
    batches = list(store.stream("SELECT number FROM numbers({n:UInt64})", {"n": 200_000}))
    assert sum(batch.num_rows for batch in batches) == 200_000


def test_a_refused_statement_has_its_code(store: Store) -> None:
    with pytest.raises(StoreRejectedError) as caught:
        store.query("SELECT no_such_column FROM {db}.numbers")
    assert caught.value.code == 47


def test_migrations_are_applied_once(store: Store) -> None:
    assert migrate(store) == []
    applied = store.query("SELECT number FROM {db}.schema_migrations FINAL ORDER BY number").column("number")
    assert applied.to_pylist() == [migration.number for migration in migrations()]


def test_a_count_is_exact_where_a_step_was_written_twice(store: Store) -> None:
    store.insert("points_number", some_points(), "first")
    store.insert("points_number", some_points(), "second")
    store.command(
        "INSERT INTO {db}.series (entity, project, run_id, key, kind, first_step, last_step, rewritten, totals) VALUES"
        " ('e', 'p', 'r', 'it\\'s \"k\"', 'number', 0, 2, 1, (1, 2, 6, 6, 0, 0, 0, 0, 0)),"
        " ('e', 'p', 'r', 'other', 'number', 4, 8, 0, (1, 8, 5, 5, 0, 0, 0, 0, 0))"
    )
    rows = store.query("SELECT key, kind, first_step, last_step, count FROM {db}.metrics ORDER BY key").to_pylist()
    assert [tuple(row.values()) for row in rows] == [('it\'s "k"', "number", 0, 2, 3), ("other", "number", 4, 8, 5)]


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(StoreUnavailableError):
        connect("http://127.0.0.1:9", "stepwell")


@pytest.mark.parametrize("database", ["", "a b", "a`b", "1a", "a;drop"])
def test_a_database_name_that_is_no_name_is_refused(database: str) -> None:
    with pytest.raises(IdentifierError, match="database"):
        connect("http://127.0.0.1:9", database)


def test_the_embedded_folder_belongs_to_one_process(stack: Stack) -> None:
    code = f"from stepwell_schemas.clickhouse.store import connect; connect({stack.dsn('chdb')!r})"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "StoreInUseError" in other.stderr
    assert "is in use by another process" in other.stderr


def test_ping_and_plain_statements_by_curl(stack: Stack) -> None:
    guest = stack.guest_dsn()
    assert httpx.get(f"{guest}/ping").text == "Ok.\n"
    assert httpx.post(f"{guest}/", content="SELECT 1 + 1").text == "2\n"
    assert httpx.get(f"{guest}/", params={"query": "SELECT {x:UInt8}", "param_x": "7"}).text == "7\n"


def test_a_wrong_password_is_told(stack: Stack) -> None:
    answer = httpx.post(f"{stack.guest_dsn()}/", content="SELECT 1", auth=("tests", "wrong"))
    assert answer.status_code == 401
