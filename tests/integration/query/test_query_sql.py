"""`/api/v1/sql`: what reads runs, and every trick to do more is refused, on both ways to ClickHouse."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest

from stepwell_query.errors import SqlRefusedError
from stepwell_query.settings import QuerySettings
from stepwell_query.sql.execute import prepare
from stepwell_query.sql.execute import run as run_statement
from stepwell_query.telemetry import SQL_CANCELLED
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS
from stepwell_schemas.rules.identifiers import RunPath
from support.draws import draws, in_turn
from support.factories.points import RunWriter
from support.readers.statements import ENDLESS, endless_statements
from support.servers.ingest import until
from support.servers.query import Service, service_over
from support.servers.sdk import serving
from support.servers.stack import Stack

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]


@pytest.fixture(scope="module", params=["chdb", "http"])
def filled(request: pytest.FixtureRequest, stack: Stack) -> Iterator[Store]:
    """A database with one run, which these tests only read, over each DSN in turn."""
    with stack.lend_database() as name, connect(stack.dsn(request.param), name) as store:
        writer = RunWriter(store, RunPath("me", "digits", "one")).document(display_name="50 % {done}")
        writer.numbers("loss", range(5), [1.0, float("nan"), float("inf"), 0.5, 0.25])
        yield store


@pytest.fixture
def service(filled: Store) -> Iterator[Service]:
    with service_over(filled, sql_max_rows=1_000, sql_max_seconds=10, sql_max_memory_bytes=200_000_000) as service:
        yield service


@pytest.fixture
def impatient(filled: Store) -> Iterator[Service]:
    """The service with a short limit of time."""
    with service_over(filled, sql_max_seconds=0.5) as service:
        yield service


async def ask(service: Service, sql: str, **parameters: Any) -> Any:
    answer = await service.client.post("/api/v1/sql", json={"sql": sql, "parameters": parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.both_dsns
async def test_an_answer_has_columns_and_rows(service: Service) -> None:
    answer = await ask(service, "SELECT step, value FROM numbers WHERE key = {key:String} ORDER BY step;", key="loss")
    assert [column["name"] for column in answer["columns"]] == ["step", "value"]
    assert answer["rows"] == [[0, 1.0], [1, "NaN"], [2, "Infinity"], [3, 0.5], [4, 0.25]]
    assert answer["row_count"] == 5


async def test_tables_are_the_public_views(service: Service) -> None:
    answer = await ask(service, "SHOW TABLES")
    assert sorted(row[0] for row in answer["rows"]) == sorted(PUBLIC_VIEWS)


async def test_a_path_in_config_is_refused_with_the_function_to_use(service: Service) -> None:
    answer = await service.client.post("/api/v1/sql", json={"sql": "SELECT config.lr FROM runs"})
    assert "JSONExtractFloat(config, 'lr')" in answer.json()["errors"][0]["remedy"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM stepwell_db.runs",
        "WITH a AS (SELECT * FROM runs) SELECT count() FROM a",
        "SELECT count() FROM runs WHERE name LIKE '%{done}%' -- a comment; with a semicolon",
        "/* a */ (SELECT 1) UNION ALL (SELECT 2)",
        "SELECT ';', '''', 'a\\'b', $$heredoc ; DROP$$",
        "FROM runs SELECT name",
        "SHOW TABLES",
        "SHOW FULL TABLES FROM stepwell_db LIKE '%s' LIMIT 2",
        "SHOW CREATE TABLE runs",
        "EXISTS TABLE stepwell_db.runs",
        "DESCRIBE TABLE numbers",
        "EXPLAIN SELECT * FROM numbers",
        "EXPLAIN indexes = 1 SELECT * FROM numbers WHERE key = 'loss'",
        "EXPLAIN PIPELINE SELECT count() FROM numbers",
        "SELECT n.key, argMax(n.value, n.step) FROM numbers AS n GROUP BY n.key",
        "SELECT key FROM numbers WHERE run_id IN (SELECT run_id FROM runs)",
        "SELECT number FROM numbers(3) WHERE number IN (1, 2)",
        "SELECT r.name FROM runs AS r INNER JOIN numbers AS n USING (entity, project, run_id) LIMIT 1",
        "SELECT uniqExact(run_id) FROM stepwell_db.points_number",
        'SELECT `key` AS `a b`, 1 AS "c" FROM numbers LIMIT 1',
        "SELECT entity, created_at, tags, map('a', 1), [1, NULL], tuple(1, 'x'), toDecimal64(1.5, 2) FROM runs",
    ],
)
async def test_statements_that_read_are_run(service: Service, filled: Store, sql: str) -> None:
    answer = await ask(service, sql.replace("stepwell_db", filled.database))
    assert answer["row_count"] >= 1


REFUSED = [
    "INSERT INTO runs SELECT 1",
    "INSERT INTO points_number (key) VALUES ('x')",
    "CREATE TABLE t (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE t (a Int8)",
    "CREATE FUNCTION f AS (x) -> x",
    "ALTER TABLE points_number DELETE WHERE 1",
    "DELETE FROM points_number WHERE 1",
    "UPDATE points_number SET value = 0 WHERE 1",
    "TRUNCATE TABLE points_number",
    "DROP TABLE points_number",
    "RENAME TABLE points_number TO x",
    "OPTIMIZE TABLE points_number",
    "SYSTEM STOP MERGES",
    "SET max_execution_time = 0",
    "USE system",
    "KILL QUERY WHERE 1",
    "GRANT ALL ON *.* TO default",
    "EXECUTE AS default SELECT 1",
    "SELECT 1; DROP TABLE points_number",
    "SELECT 1; SELECT 2",
    "SELECT 1 PARALLEL WITH DROP TABLE points_number",
    "EXPLAIN AST DROP TABLE points_number",
    "EXPLAIN AST SELECT 1",
    "EXPLAIN SELECT 1 SETTINGS readonly = 0",
    "SELECT * FROM (EXPLAIN AST SELECT 1)",
    "EXPLAIN INSERT INTO runs SELECT 1",
    "SELECT * FROM system.tables",
    "SELECT * FROM `system`.`tables`",
    'SELECT * FROM "system"."query_log"',
    "SELECT * FROM SYSTEM.one",
    "SELECT 1 WHERE 0 IN system.one",
    "SELECT 1 WHERE 0 GLOBAL NOT IN system.one",
    "SELECT in(0, system.one)",
    "SELECT * FROM runs AS a, system.one AS b",
    "SELECT * FROM (SELECT * FROM system.one)",
    "WITH x AS (SELECT * FROM system.one) SELECT * FROM x",
    "SELECT (SELECT name FROM system.databases LIMIT 1)",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM INFORMATION_SCHEMA.TABLES",
    "SELECT * FROM default.t",
    "SHOW TABLES FROM system",
    "SHOW TABLES WHERE (SELECT count() FROM system.one) > 0",
    "SHOW TABLES LIMIT (SELECT count() FROM system.one)",
    "SHOW DATABASES",
    "SHOW PROCESSLIST",
    "SHOW GRANTS",
    "SHOW USERS",
    "SHOW SETTINGS LIKE '%'",
    "SHOW CREATE TABLE system.tables",
    "SHOW CREATE DATABASE default",
    "EXISTS TABLE system.tables",
    "DESCRIBE TABLE system.tables",
    "DESCRIBE TABLE url('http://127.0.0.1:9/', 'CSV')",
    "EXPLAIN PLAN SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "SELECT * FROM FILE('/etc/passwd', 'LineAsString')",
    "SELECT * FROM `file`('/etc/passwd', 'LineAsString')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM `/etc/passwd`",
    "SELECT file('/etc/passwd')",
    "SELECT * FROM url('http://127.0.0.1:9/', 'CSV')",
    "SELECT * FROM remote('127.0.0.1', 'system.one')",
    "SELECT * FROM s3('http://127.0.0.1:9/b/k')",
    "SELECT * FROM mysql('127.0.0.1:9', 'd', 't', 'u', 'p')",
    "SELECT * FROM executable('id', 'TSV', 'a String')",
    "SELECT * FROM python('x')",
    "SELECT * FROM merge('system', '.*')",
    "SELECT * FROM view(SELECT * FROM system.one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM loop(system.one)",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM dictionary('d')",
    "SELECT * FROM sqlite('/tmp/x', 't')",
    "SELECT dictGet('d', 'a', 1)",
    "SELECT joinGet('system.x', 'a', 1)",
    "SELECT hasColumnInTable('127.0.0.1', 'system', 'one', 'dummy')",
    "SELECT hostName()",
    "SELECT getSetting('max_threads')",
    "SELECT getServerSetting('max_connections')",
    "SELECT sleep(3)",
    "SELECT sleepEachRow(1) FROM numbers(3)",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
    "SELECT 1 UNION ALL SELECT 2 SETTINGS max_result_rows = 0",
    "SELECT 1 INTO OUTFILE '/tmp/stepwell-must-not-exist'",
    "SELECT 1 FORMAT CSV",
    "SELECT 1 FORMAT Null SETTINGS readonly = 0",
    "SELECT 1 AS `a\nTableIdentifier x`",
    "SELECT * FROM {t:Identifier}",
    "SELEC 1",
    "SELECT 1 /* not closed",
    "SELECT 'not closed",
    "",
    ";",
    "-- only a comment",
    "SELECT {missing:String}",
    "SELECT no_such_column FROM runs",
    "SELECT * FROM no_such_table",
    "graph = 1 SELECT 1",
    "\ud800",
    "SELECT '\x00",
]


async def test_all_else_is_refused_with_a_remedy(service: Service, filled: Store) -> None:
    wrong: dict[str, str] = {}
    for sql in REFUSED:
        content = {"sql": sql, "parameters": {"t": "system.one"}}
        headers = {"content-type": "application/json"}
        answer = await service.client.post("/api/v1/sql", content=json.dumps(content), headers=headers)
        error = answer.json()["errors"][0] if answer.status_code == 422 else {}
        if error.get("field") != "sql" or not error["rule"] or not error["remedy"]:
            wrong[sql] = f"{answer.status_code} {answer.text}"
    assert wrong == {}
    count = filled.query("SELECT count() AS n FROM {db}.points_number").column("n")
    assert count.to_pylist() == [5]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT number FROM numbers(1001)", "1,000 rows"),
        ("SELECT groupArray(number) FROM numbers(1000000000)", "200,000,000 bytes"),
    ],
)
@pytest.mark.both_dsns
async def test_limits_are_named_with_a_remedy(service: Service, sql: str, words: str) -> None:
    answer = await service.client.post("/api/v1/sql", json={"sql": sql})
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert words in error["rule"]
    assert error["remedy"]


@pytest.mark.both_dsns
async def test_the_limit_of_time_is_named_with_a_remedy(impatient: Service) -> None:
    body = {"sql": ENDLESS}
    answer = await impatient.client.post("/api/v1/sql", json=body)
    assert answer.status_code == 422
    error = answer.json()["errors"][0]
    assert "0.5 seconds" in error["rule"]
    assert error["remedy"]


@pytest.mark.parametrize("parameters", [{"a": {"b": 1}}, {"a": [[1]]}, {"a b": 1}])
async def test_parameters_are_plain_values(service: Service, parameters: dict[str, Any]) -> None:
    answer = await service.client.post("/api/v1/sql", json={"sql": "SELECT 1", "parameters": parameters})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("parameters")


@pytest.mark.both_dsns
async def test_parameters_travel_as_values(service: Service) -> None:
    hostile = "'); DROP TABLE runs; -- {x} % \\ 📉"
    answer = await ask(
        service,
        "SELECT {a:String} AS a, {b:Array(Int64)} AS b, {c:Nullable(String)} AS c, {d:Bool} AS d",
        a=hostile,
        b=[1, 2],
        c=None,
        d=True,
    )
    assert answer["rows"] == [[hostile, [1, 2], None, True]]


@pytest.mark.both_dsns
async def test_other_formats(service: Service) -> None:
    body = {"sql": "SELECT key, step, value FROM numbers ORDER BY step"}
    arrow = await service.client.post("/api/v1/sql?format=arrow", json=body)
    assert pa.ipc.open_stream(arrow.content).read_all().column("step").to_pylist() == [0, 1, 2, 3, 4]
    csv = await service.client.post("/api/v1/sql", json=body, headers={"accept": "text/csv"})
    assert csv.text.splitlines()[:3] == ['"key","step","value"', '"loss",0,1', '"loss",1,nan']
    parquet = await service.client.post("/api/v1/sql?format=parquet", json=body)
    assert pyarrow.parquet.read_table(io.BytesIO(parquet.content)).column("step").to_pylist() == [0, 1, 2, 3, 4]
    ndjson = await service.client.post("/api/v1/sql?format=ndjson", json=body)
    assert ndjson.text.splitlines()[1] == '{"key":"loss","step":1,"value":"NaN"}'


ODD_VALUES = (
    "generateUUIDv4()", "toInt128(-2)", "toUInt256('1')", "toBFloat16(1.5)", "toFixedString('ab', 5)", "sumState(1)",
    "unhex('ff00')", "CAST('{\"a\": 1}' AS JSON)", "'x'::Dynamic", "1::Variant(UInt8, String)", "[]", "map()",
    "tuple()",
    "[NULL, 1]", "[map('k', nan)]", "[[(1, 'a')]]", "toIPv6('::1')", "now64(9)", "toDate32('2299-12-31')",
    "toDecimal256('1', 70)", "CAST('x' AS Enum8('x' = 1))", "INTERVAL 3 MONTH", "toTime64('12:00:00', 9)", "NULL",
)  # fmt: skip


@pytest.mark.both_dsns
async def test_values_of_every_type_in_every_format(service: Service, request: pytest.FixtureRequest) -> None:
    formats = ("json", "ndjson", "csv", "arrow", "parquet")
    # Formats are made of the tables that either DSN returns: over HTTP, each statement has one of them in turn.
    chosen = draws(1, len(formats)) if "http" in request.node.callspec.params.values() else len(formats)
    # A union of a value with NULL may have a type that neither of them has.
    statements = [f"SELECT {value} AS v" for value in ODD_VALUES]
    statements += [f"{sql}, 1 AS w UNION ALL SELECT NULL, 2" for sql in statements]
    failed = []
    for number, sql in enumerate([*statements, "SELECT [] AS v WHERE 0"]):
        for fmt in in_turn(formats, number, chosen):
            answer = await service.client.post(f"/api/v1/sql?format={fmt}", json={"sql": sql})
            # For some of them, ClickHouse itself has no common type with NULL.
            if answer.status_code != 200 and not ("UNION" in sql and "was refused by ClickHouse" in answer.text):
                failed.append((sql, fmt, answer.text))
    assert failed == []
    uuid = "00000000-0000-0000-0000-00000000000a"
    csv = await service.client.post("/api/v1/sql?format=csv", json={"sql": f"SELECT toUUID('{uuid}') AS v"})
    assert csv.text.splitlines()[1] == f'"{uuid}"'
    body = {"sql": "SELECT [1]::Variant(Array(UInt8), String) AS v"}
    parquet = await service.client.post("/api/v1/sql?format=parquet", json=body)
    assert pyarrow.parquet.read_table(io.BytesIO(parquet.content)).column("v").to_pylist() == ["[1]"]


@pytest.mark.parametrize(("sql", "column"), [("SELEC 1", 7), ("SELECT 'é' xx yy", 15), ("SELECT\n  a b c", 14)])
@pytest.mark.both_dsns
async def test_an_error_has_clickhouses_place(service: Service, sql: str, column: int) -> None:
    answer = await service.client.post("/api/v1/sql", json={"sql": sql})
    error = answer.json()["errors"][0]
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:stepwell:problem:bad-parameter")
    assert (error["field"], error["column"]) == ("sql", column)


@pytest.mark.both_dsns
async def test_a_client_that_leaves_ends_its_statement(store: Store) -> None:
    before = SQL_CANCELLED._value.get()
    body = {"sql": ENDLESS}
    with serving(store, sql_max_seconds=60) as url, anyio.fail_after(40):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client, anyio.create_task_group() as group:
            group.start_soon(lambda: client.post("/api/v1/sql", json=body))
            await until(lambda: endless_statements(store), 1)
            group.cancel_scope.cancel()
        await until(lambda: endless_statements(store), 0)
    assert SQL_CANCELLED._value.get() == before + 1


@pytest.mark.both_dsns
async def test_many_that_left_hold_up_nobody(store: Store) -> None:
    body = {"sql": ENDLESS}
    async with httpx.AsyncClient(timeout=60) as client:
        with serving(store, sql_max_seconds=60, sql_concurrency=2) as url, anyio.fail_after(40):
            # One address has one of two places; nine wait, and a place is left for another address.
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(lambda: client.post(f"{url}/api/v1/sql", json=body))
                await until(lambda: endless_statements(store), 1)
                other = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
                async with httpx.AsyncClient(transport=other, timeout=60) as second:
                    answer = await second.post(f"{url}/api/v1/sql", json={"sql": "SELECT 1"})
                    assert answer.status_code == 200
                group.cancel_scope.cancel()
            await until(lambda: endless_statements(store), 0)
            assert (await client.post(f"{url}/api/v1/sql", json={"sql": "SELECT 1"})).status_code == 200


async def test_a_full_queue_is_said_to_be_full(store: Store) -> None:
    body = {"sql": ENDLESS}
    async with httpx.AsyncClient(timeout=60) as client:
        with serving(store, sql_max_seconds=60, sql_concurrency=1) as url, anyio.fail_after(40):
            async with anyio.create_task_group() as group:
                for _ in range(9):
                    group.start_soon(lambda: client.post(f"{url}/api/v1/sql", json=body))
                await until(lambda: endless_statements(store), 1)
                answer = await client.post(f"{url}/api/v1/sql", json={"sql": "SELECT 1"})
                while answer.status_code == 200:
                    answer = await client.post(f"{url}/api/v1/sql", json={"sql": "SELECT 1"})
                assert (answer.status_code, answer.json()["type"]) == (503, "urn:stepwell:problem:too-busy")
                group.cancel_scope.cancel()
            await until(lambda: endless_statements(store), 0)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * APPLY file FROM (SELECT '/etc/passwd' AS x)",
        "SELECT formatRow('Protobuf', 1)",
        "SELECT * FROM format(Template, '1')",
        "SELECT arrayReduce('groupFormat(\\'Protobuf\\')', [1])",
        "SELECT 1 SETTINGS output_format_schema = '/tmp/x'",
        "SELECT 1 UNION ALL (SELECT 2 SETTINGS max_execution_time = 0)",
        "SELECT regionToName(1)",
        "SELECT naiveBayesClassifier('m', 'x')",
    ],
)
async def test_the_ways_round_the_port_are_none_here(service: Service, sql: str) -> None:
    answer = await service.client.post("/api/v1/sql", json={"sql": sql})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "sql")


async def test_functions_that_name_harmless_ones_are_called(service: Service) -> None:
    for sql in ("SELECT formatRow('CSV', 1)", "SELECT arrayReduce('sum', [1])"):
        assert (await service.client.post("/api/v1/sql", json={"sql": sql})).status_code == 200, sql


@pytest.mark.both_dsns
async def test_limits_hold_for_each_part_of_a_union(store: Store) -> None:
    with serving(store, sql_max_seconds=0.2) as url, anyio.fail_after(30):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            for sql in (f"{ENDLESS} UNION ALL SELECT 1", f"SELECT 1 UNION ALL {ENDLESS}", f"SELECT ({ENDLESS})"):
                assert (await client.post("/api/v1/sql", json={"sql": sql})).status_code == 422


@pytest.mark.both_dsns
async def test_a_statement_that_runs_is_cancelled(store: Store) -> None:
    statement = prepare(store, ENDLESS, {})
    call = asyncio.create_task(asyncio.to_thread(run_statement, store, statement, QuerySettings(sql_max_seconds=60)))
    await until(lambda: endless_statements(store), 1)
    await asyncio.to_thread(statement.mark.end, store)
    async with asyncio.timeout(30):
        with pytest.raises(SqlRefusedError):
            await call
