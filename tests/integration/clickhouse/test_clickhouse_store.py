"""Edge cases of the store: aborted streams, concurrent calls, long parameters, compressed bodies."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clickhouse_connect
import cramjam
import httpx
import pyarrow as pa
import pytest

from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_deploy.errors import PortInUseError
from stepwell_schemas.clickhouse.errors import known_codes
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.errors import (
    IdentifierError,
    StoreError,
    StoreInUseError,
    StoreRejectedError,
    StoreUnavailableError,
)
from support.servers.stack import Stack

_AWKWARD = ["it's", 'a "b"', "back\\slash", "line\nbreak\r\n", "tab\t", "{db}", "é 😀", "", "%41"]


def test_parameters_arrive_as_they_were_sent(store: Store) -> None:
    sql = "SELECT {texts:Array(String)} AS texts, {text:String} AS text, {none:Nullable(Int64)} AS none"
    for text in _AWKWARD:
        row = store.query(sql, {"texts": [*_AWKWARD, text], "text": text, "none": None}).to_pylist()[0]
        assert row == {"texts": [*_AWKWARD, text], "text": text, "none": None}


def test_parameters_longer_than_a_url_arrive(store: Store) -> None:
    keys = [f"metric é '{number}'" for number in range(10_000)]
    read = store.query("SELECT arrayJoin({keys:Array(String)}) AS key", {"keys": keys})
    assert read.column("key").to_pylist() == keys


def test_types_come_as_arrow_types(store: Store) -> None:
    read = store.query(
        "SELECT 's' AS s, toLowCardinality('l') AS l, 1.5 AS f, true AS b, toInt64(-1) AS i,"
        " toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC') AS t WHERE 0"
    )
    assert read.num_rows == 0
    types = [pa.string(), pa.string(), pa.float64(), pa.bool_(), pa.int64(), pa.timestamp("ms", "UTC")]
    assert read.schema.types == types


def test_a_stream_left_early_leaves_the_store_usable(store: Store) -> None:
    for _ in range(6):
        batches = store.stream("SELECT number FROM system.numbers LIMIT 300000")
        assert next(batches).num_rows > 0
        batches.close()  # type: ignore[attr-defined]
    assert store.query("SELECT 1 AS x").to_pylist() == [{"x": 1}]


def test_a_stream_that_breaks_tells_why(store: Store) -> None:
    with pytest.raises(StoreError):
        list(store.stream("SELECT throwIf(number = 250000) FROM numbers(300000)"))
    with pytest.raises(StoreRejectedError, match="no_such_column"):
        list(store.stream("SELECT no_such_column"))


def test_calls_at_once_do_not_mix(store: Store) -> None:
    def ask(number: int) -> int:
        answer: int = store.query("SELECT {n:Int64} AS n FROM numbers(1000) LIMIT 1", {"n": number})["n"][0].as_py()
        return answer

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(ask, range(200))) == list(range(200))


def test_a_closed_store_says_so(open_store: Callable[[str], Store], stack: Stack) -> None:
    closed = connect(stack.dsn("chdb"), "default")
    closed.close()
    closed.close()
    with pytest.raises(StoreRejectedError, match="closed"):
        closed.query("SELECT 1")


def test_names_and_formats_never_become_sql(chdb_store: Store) -> None:
    with pytest.raises(IdentifierError):
        chdb_store.insert("t` (a) VALUES (1) --", pa.table({"a": [1]}), "token")
    with pytest.raises(StoreRejectedError):
        chdb_store.query_bytes("SELECT 1", None, "CSV SETTINGS max_threads = 1")


def test_a_readonly_store_refuses_writes(stack: Stack, open_store: Callable[[str], Store]) -> None:
    written = open_store("chdb")
    with connect(stack.dsn("chdb"), written.database, 1, {"readonly": 1}) as reader:
        assert reader.query("SELECT count() AS n FROM numbers")["n"].to_pylist() == [0]
        with pytest.raises(StoreRejectedError) as caught:
            reader.command("DROP TABLE {db}.points_number")
    assert caught.value.code == 164


@pytest.mark.parametrize("dsn", ["", "tcp://h:1", "chdb://relative/x", "chdb://", "http://", "chdb:///a?x=1"])
def test_a_dsn_of_another_form_is_refused(dsn: str) -> None:
    with pytest.raises(StoreError, match="STEPWELL_CLICKHOUSE_DSN must have the form"):
        connect(dsn)


def test_one_process_has_one_engine_folder(stack: Stack, tmp_path: Path) -> None:
    stack.dsn("chdb")
    with pytest.raises(StoreInUseError, match="one folder for each process"):
        connect(f"chdb://{tmp_path}/other")


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", None])
def test_clickhouse_connect_reads_and_writes_compressed(stack: Stack, chdb_store: Store, compression: str) -> None:
    chdb_store.command("CREATE TABLE {db}.letters (number Int64, text String) ENGINE = MergeTree ORDER BY number")
    client = clickhouse_connect.get_client(
        dsn=stack.dsn("http"), database=chdb_store.database, compress=compression or False
    )
    rows = [[number, f"text {number}"] for number in range(10_000)]
    client.insert("letters", rows, column_names=["number", "text"])
    assert client.query("SELECT * FROM letters ORDER BY number").result_rows == [tuple(row) for row in rows]
    client.close()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("zstd", cramjam.zstd.compress), ("lz4", cramjam.lz4.compress)],
)
def test_compressed_bodies_are_read(stack: Stack, encoding: str, compress: Callable[[bytes], bytes]) -> None:
    body = bytes(compress(b"SELECT 1 + 1"))
    assert _post(stack, body, {"Content-Encoding": encoding}).text == "2\n"
    assert _post(stack, body[:-3], {"Content-Encoding": encoding}).headers["X-ClickHouse-Exception-Code"]
    assert _post(stack, body, {"Content-Encoding": "rot13"}).status_code == 400


def test_a_body_in_chunks_is_read(stack: Stack) -> None:
    answer = httpx.post(f"{stack.guest_dsn()}/", content=iter([b"SELECT ", b"1 + 1"]))
    assert answer.text == "2\n"


def _post(stack: Stack, body: bytes, headers: dict[str, str]) -> httpx.Response:
    return httpx.post(f"{stack.guest_dsn()}/", content=body, headers=headers)


def test_the_port_in_use_is_told(stack: Stack, tmp_path: Path) -> None:
    port = int(stack.guest_dsn().rpartition(":")[2])
    with pytest.raises(PortInUseError, match=f"port {port} on 127.0.0.1 is in use"):
        ClickHouseHttp(tmp_path, "127.0.0.1", port, "u", "p").start()


def test_every_error_code_of_the_engine_has_a_class(store: Store) -> None:
    named = store.query("SELECT toInt64(number) AS code FROM numbers(10000) WHERE errorCodeToName(number) != ''")
    assert set(named["code"].to_pylist()) - known_codes() - {0} == set()


def test_reads_wait_for_memory_and_time_as_inserts_do(store: Store) -> None:
    for limit in ("max_memory_usage = 10000000", "max_execution_time = 0.001"):
        with pytest.raises(StoreUnavailableError) as caught:
            store.query(f"SELECT count() FROM (SELECT number FROM numbers(30000000) GROUP BY number) SETTINGS {limit}")
        assert caught.value.code in {159, 241}
    assert store.query("SELECT 1 AS x").to_pylist() == [{"x": 1}]
