"""The ClickHouse port for guests: the statements that tools send on connecting work, and all attacks are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.servers.stack import Stack

READONLY = "164"


@dataclass
class Guest:
    """A guest of the port, with the test's database as default."""

    url: str
    database: str
    client: httpx.Client

    def ask(self, statement: str, **fields: str) -> httpx.Response:
        """Send a statement as the body, with fields in the URL."""
        text = statement.replace("{database}", self.database).encode("utf-8", "surrogatepass")
        return self.client.post("/", params={"database": self.database, **fields}, content=text)


@pytest.fixture
def guest(stack: Stack, open_store: Callable[[str], Store]) -> Iterator[Guest]:
    store = open_store("http")
    RunWriter(store, RunPath("me", "digits", "one")).document().numbers("loss", range(5), [1.0, 0.5, 0.25, 0.125, 0.0])
    with httpx.Client(base_url=stack.guest_dsn(), timeout=60) as client:
        yield Guest(stack.guest_dsn(), store.database, client)


TRICKS = {
    "writing": [
        "INSERT INTO points_number (key) VALUES ('x')",
        "INSERT INTO schema_migrations FORMAT CSV\n1,2,3",
        "INSERT INTO FUNCTION file('/tmp/stepwell-guest', 'CSV') SELECT 1",
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE t (a Int8)",
        "CREATE FUNCTION f AS (x) -> x",
        "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(FILE(path '/etc/passwd' format 'CSV')) LAYOUT(FLAT())",
        "ALTER TABLE points_number DELETE WHERE 1",
        "DELETE FROM points_number WHERE 1",
        "TRUNCATE TABLE points_number",
        "DROP DATABASE {database}",
        "RENAME TABLE points_number TO x",
        "OPTIMIZE TABLE points_number FINAL",
        "ATTACH TABLE points_number",
        "DETACH TABLE points_number",
        "UNDROP TABLE points_number",
        "EXCHANGE TABLES points_number AND points_string",
        "BACKUP TABLE points_number TO File('/tmp/stepwell-guest')",
        "SELECT 1 PARALLEL WITH DROP TABLE points_number",
        "EXPLAIN INSERT INTO points_number SELECT * FROM points_number",
    ],
    "the server": [
        "SET readonly = 0",
        "SET max_memory_usage = 0",
        "USE system",
        "KILL QUERY WHERE 1",
        "SYSTEM SHUTDOWN",
        "SYSTEM FLUSH LOGS",
        "GRANT ALL ON *.* TO default",
        "CREATE USER u",
        "SHOW PROCESSLIST",
        "SHOW GRANTS",
        "SHOW USERS",
        "SHOW ACCESS",
        "SHOW MERGES",
        "SHOW FILESYSTEM CACHES",
        "CHECK TABLE points_number",
        "EXECUTE AS default SELECT 1",
        "BEGIN TRANSACTION",
    ],
    "system tables": [
        "SELECT * FROM system.query_log",
        "SELECT * FROM system.processes",
        "SELECT * FROM system.users",
        "SELECT * FROM system.grants",
        "SELECT * FROM system.named_collections",
        "SELECT * FROM system.server_settings",
        "SELECT * FROM system.disks",
        "SELECT * FROM system.zookeeper WHERE path = '/'",
        "SELECT * FROM `system`.`processes`",
        'SELECT * FROM "system"."processes"',
        "SELECT 1 WHERE 'a' IN (SELECT query FROM system.processes)",
        "SELECT 1 WHERE 0 IN system.processes",
        "WITH x AS (SELECT * FROM system.processes) SELECT * FROM x",
        "SELECT (SELECT count() FROM system.processes)",
        "SELECT * FROM merge('system', 'processes')",
        "SELECT * FROM view(SELECT * FROM system.processes)",
        "DESCRIBE TABLE system.processes",
        "SHOW CREATE TABLE system.users",
        "SHOW TABLES WHERE (SELECT count() FROM system.users) > 0",
        "SHOW COLUMNS FROM runs LIMIT (SELECT count() FROM system.users)",
        "EXISTS TABLE system.users",
    ],
    "reaching out": [
        "SELECT * FROM url('http://127.0.0.1:9/', 'CSV')",
        "SELECT * FROM urlCluster('c', 'http://127.0.0.1:9/', 'CSV')",
        "SELECT * FROM file('/etc/passwd', 'CSV')",
        "SELECT * FROM `file`('/etc/passwd', 'CSV')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM `/etc/passwd`",
        "SELECT file('/etc/passwd')",
        "SELECT FILE /* */ ('/etc/passwd')",
        "DESCRIBE TABLE file('/etc/passwd')",
        "DESCRIBE TABLE url('http://127.0.0.1:9/', 'CSV')",
        "EXPLAIN PLAN SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM remote('127.0.0.1', 'system.one')",
        "SELECT * FROM remoteSecure('127.0.0.1', 'system.one')",
        "SELECT * FROM cluster('default', system.one)",
        "SELECT * FROM clusterAllReplicas('default', system.one)",
        "SELECT * FROM s3('http://127.0.0.1:9/b/k')",
        "SELECT * FROM gcs('http://127.0.0.1:9/b/k')",
        "SELECT * FROM azureBlobStorage('a', 'b', 'c')",
        "SELECT * FROM hdfs('hdfs://127.0.0.1:9/x', 'CSV', 'a String')",
        "SELECT * FROM iceberg('http://127.0.0.1:9/b')",
        "SELECT * FROM deltaLake('http://127.0.0.1:9/b')",
        "SELECT * FROM mysql('127.0.0.1:9', 'd', 't', 'u', 'p')",
        "SELECT * FROM postgresql('127.0.0.1:9', 'd', 't', 'u', 'p')",
        "SELECT * FROM mongodb('127.0.0.1:9', 'd', 't', 'u', 'p', 'a String')",
        "SELECT * FROM redis('127.0.0.1:9', 'k', 'k String')",
        "SELECT * FROM sqlite('/tmp/x', 't')",
        "SELECT * FROM jdbc('jdbc:x', 't')",
        "SELECT * FROM odbc('DSN=x', 't')",
        "SELECT * FROM executable('id', 'TSV', 'a String')",
        "SELECT * FROM input('a String')",
        "SELECT * FROM dictionary('d')",
        "SELECT * FROM python('x')",
        "SELECT * FROM loop(system.processes)",
        "SELECT dictGet('d', 'a', 1)",
        "SELECT joinGet('d', 'a', 1)",
        "SELECT hasColumnInTable('127.0.0.1', 'system', 'one', 'dummy')",
        "SELECT catboostEvaluate('/etc/passwd', 1)",
        "SELECT filesystemAvailable()",
        "SELECT sleep(3)",
    ],
    "text": [
        "SELECT 1; DROP TABLE points_number",
        "SELECT 1; SELECT 2",
        "SELECT '\\\\'; DROP TABLE points_number --'",
        "SELECT $$'$$; DROP TABLE points_number -- '",
        "SELECT 1 /* /* */ ; DROP TABLE points_number",
        "-- SELECT\nDROP TABLE points_number",
        "#! SELECT\nDROP TABLE points_number",
        "SELECT 1 INTO OUTFILE '/tmp/stepwell-guest'",
        "SELECT 1 INTO/**/OUTFILE '/tmp/stepwell-guest' FORMAT CSV",
        "SELECT 1 AS `a\\nTableIdentifier x`",
        "SELECT * FROM {t:Identifier}",
        "EXPLAIN AST DROP TABLE points_number",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 FORMAT Null SETTINGS max_memory_usage = 0",
        "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
        "SELECT 'never ends",
        "SELECT 1 /* never ends",
        "",
        ";",
        "\udc80",
    ],
}


@pytest.mark.parametrize("kind", list(TRICKS))
def test_tricks_are_refused_and_change_nothing(guest: Guest, kind: str) -> None:
    for statement in TRICKS[kind]:
        answer = guest.ask(statement, param_t="system.processes")
        assert answer.is_client_error, (statement, answer.text)
        assert answer.headers["X-ClickHouse-Exception-Code"], statement
        assert "DB::Exception" in answer.text
    assert guest.ask("SELECT count() FROM numbers").text == "5\n"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"database": "system", "query": "SELECT * FROM processes"}, READONLY),
        ({"max_execution_time": "0"}, "452"),
        ({"max_execution_time": "1000"}, "452"),
        ({"max_execution_time": "nan"}, "452"),
        ({"max_memory_usage": "0"}, "452"),
        ({"max_memory_usage": "99999999999999"}, "452"),
        ({"max_result_bytes": "0", "default_format": "JSON"}, "452"),
        ({"format_schema_source": "query", "format_schema": "SELECT file('/etc/passwd')"}, READONLY),
        ({"allow_introspection_functions": "1"}, READONLY),
        ({"additional_table_filters": "{}"}, READONLY),
        ({"max_threads": "1', readonly = '0"}, None),
        ({"readonly": "0", "query": "DROP TABLE points_number"}, READONLY),
        ({"param_x": "1", "query": "DROP TABLE {x:Identifier}"}, READONLY),
        ({"user": "tests", "password": "wrong"}, "516"),
    ],
)
def test_fields_lift_no_limit(guest: Guest, fields: dict[str, str], code: str | None) -> None:
    answer = guest.ask("" if "query" in fields else "SELECT 1", **fields)
    assert answer.is_client_error or answer.is_server_error
    assert code is None or answer.headers["X-ClickHouse-Exception-Code"] == code
    assert guest.ask("SELECT count() FROM numbers").text == "5\n"


def test_a_statement_ends_at_its_limits(guest: Guest) -> None:
    late = guest.ask("SELECT sum(sipHash64(number)) FROM system.numbers", max_execution_time="0.3")
    assert late.headers["X-ClickHouse-Exception-Code"] == "159"
    large = guest.ask("SELECT groupArray(number) FROM numbers(100000000)", max_memory_usage="50000000")
    assert large.headers["X-ClickHouse-Exception-Code"] == "241"
    whole = guest.ask("SELECT number FROM system.numbers LIMIT 1000000 FORMAT JSON", max_result_bytes="100000")
    assert whole.headers["X-ClickHouse-Exception-Code"] == "396"


ASKED_BY_TOOLS = [
    # clickhouse-connect, the JDBC drivers (DBeaver), clickhouse-go (Grafana), SQLAlchemy, Metabase, Superset.
    "SELECT version(), timezone()",
    "SELECT displayName(), version(), revision(), timezone()",
    "SELECT currentUser(), timezone(), version(), getSetting('readonly')",
    "SELECT hostName()",
    "select database()",
    "SELECT name, value, readonly as readonly FROM system.settings LIMIT 10000",
    "SELECT name, value FROM system.settings WHERE name = 'readonly'",
    "SHOW DATABASES",
    "SHOW TABLES",
    "SHOW TABLES FROM {database}",
    "SHOW FULL TABLES FROM system",
    "SHOW COLUMNS FROM runs",
    "SHOW FUNCTIONS",
    "SHOW ENGINES",
    "SHOW CLUSTERS",
    "SHOW DICTIONARIES",
    "SHOW SETTINGS LIKE 'max_threads'",
    "SHOW CREATE TABLE numbers",
    "SHOW CREATE VIEW numbers",
    "SHOW CREATE DATABASE {database}",
    "EXISTS TABLE numbers",
    "DESCRIBE TABLE numbers",
    "DESC TABLE {database}.numbers",
    "DESC (SELECT * FROM numbers)",
    "EXPLAIN SELECT * FROM numbers",
    "EXPLAIN indexes = 1 SELECT * FROM numbers WHERE key = 'loss'",
    "SELECT name, engine, comment FROM system.databases WHERE name NOT IN ('system')",
    "SELECT database, name, engine, engine_full, comment, total_rows, total_bytes FROM system.tables",
    "SELECT table, sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active GROUP BY table",
    "SELECT database, table, name, type, position, default_kind, comment, is_in_primary_key FROM system.columns",
    "SELECT name, is_aggregate, case_insensitive, alias_to, create_query, origin FROM system.functions",
    "SELECT name, case_insensitive, alias_to FROM system.data_type_families",
    "SELECT name FROM system.table_engines",
    "SELECT name FROM system.formats WHERE is_output",
    "SELECT name FROM system.table_functions",
    "SELECT cluster, shard_num FROM system.clusters",
    "SELECT database, name FROM system.dictionaries",
    "SELECT * FROM information_schema.tables LIMIT 1",
    "SELECT table_schema, table_name, column_name FROM INFORMATION_SCHEMA.COLUMNS LIMIT 1",
    "SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA",
    "SELECT 1 FROM system.one",
    "SELECT 1 FORMAT JSON",
    "SELECT 1;",
    "/* tool */ SELECT 1 -- done",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "SELECT ';', 'file(''x'')', $$INTO OUTFILE$$, `key` AS \"a b\" FROM numbers",
    "SELECT profile, url FROM (SELECT 1 AS profile, 2 AS url)",
    "SELECT ‘, file('/etc/passwd'), ’",
    "SELECT toStartOfInterval(timestamp, INTERVAL 60 second) AS time, avg(value) FROM {database}.numbers"
    " WHERE timestamp >= toDateTime64(0, 3) GROUP BY time ORDER BY time WITH FILL STEP 60",
]


def test_what_tools_ask_on_connecting_is_answered(guest: Guest) -> None:
    refused = {statement: answer.text for statement in ASKED_BY_TOOLS if (answer := guest.ask(statement)).is_error}
    assert refused == {}


def test_long_answers_come_block_by_block(guest: Guest) -> None:
    statement = "SELECT number, toString(number) AS text FROM numbers(200000)"
    request = {"database": guest.database, "default_format": "JSONEachRow"}
    with guest.client.stream("POST", "/", params=request, content=statement) as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        rows = [json.loads(line) for line in answer.iter_lines()]
    assert [int(row["number"]) for row in rows] == list(range(200_000))
    for form in ("CSV", "TabSeparated", "Native", "RowBinary", "JSONCompactEachRow"):
        streamed = guest.ask(f"{statement} FORMAT {form}")
        assert streamed.headers["Transfer-Encoding"] == "chunked"
        assert streamed.content == guest.ask(f"{statement} FORMAT {form} ", wait_end_of_query="1").content
    broken = guest.ask("SELECT throwIf(number = 150000) FROM numbers(200000) FORMAT JSON")
    assert broken.headers["X-ClickHouse-Exception-Code"] == "395"


def test_clickhouse_connect_reads_as_a_guest(guest: Guest) -> None:
    host, _, port = guest.url.removeprefix("http://").partition(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), database=guest.database)
    with client:
        asked: dict[str, Any] = {"key": "loss", "steps": [1, 2, 3]}
        sql = "SELECT step, value FROM numbers WHERE key = {key:String} AND step IN {steps:Array(Int64)} ORDER BY step"
        assert client.query(sql, asked).result_rows == [(1, 0.5), (2, 0.25), (3, 0.125)]
        assert client.query_df("SELECT key, count FROM metrics")["count"].tolist() == [5]
        assert client.query_arrow("SELECT value FROM numbers").num_rows == 5
        with client.query_row_block_stream("SELECT number FROM numbers(200000)") as stream:
            assert sum(len(block) for block in stream) == 200_000
        with pytest.raises(DatabaseError, match="READONLY"):
            client.command("DROP TABLE points_number")
        with pytest.raises(DatabaseError, match="no_such"):
            client.query("SELECT no_such FROM numbers")
