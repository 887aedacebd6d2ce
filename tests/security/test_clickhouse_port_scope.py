"""The ClickHouse port with access control: a key is the password, and its statements see the rows of its scope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from stepwell_deploy.clickhouse_server.guest_settings import COUNTING, RULES
from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_query.settings import QuerySettings
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.authenticate import Authenticator
from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_store import KeyStore
from stepwell_schemas.access.keys import new_key
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS
from support.servers.sdk import eventually
from support.servers.stack import Stack

from .scoped_sql import ADMIN_KEY, FOREIGN, MINE, ROWS, fill
from .test_sql_scope import ANSWERED, GRANTS, REFUSED, shown

EVERY: Final = ROWS * (len(MINE) + len(FOREIGN))
SAMPLE: Final = ("subqueries", "joins", "conditions that would show a foreign row by failing")


@dataclass
class Port:
    """The port, its database, and a key that reads the projects MINE."""

    url: str
    store: Store
    audit: AuditLog
    key: str

    def ask(self, statement: str, key: str | None = None, **fields: str) -> httpx.Response:
        """Send a statement with a key as the password, by default the scoped one."""
        headers = {"x-clickhouse-user": "any", "x-clickhouse-key": self.key if key is None else key}
        text = statement.replace("{database}", self.store.database).encode()
        given = {"database": self.store.database, **fields}
        return httpx.post(self.url, params=given, content=text, headers=headers, timeout=60)

    def count(self, **request: Any) -> str:
        """Return the count of numbers, or the code of the error, with credentials of any form."""
        given = {"query": f"SELECT count() FROM `{self.store.database}`.numbers", **request.pop("params", {})}
        answer = httpx.get(self.url, params=given, timeout=60, **request)
        return str(answer.headers.get("X-ClickHouse-Exception-Code", answer.text.strip()))


@pytest.fixture(scope="module")
def port(stack: Stack) -> Iterator[Port]:
    folder = Path(urlsplit(stack.dsn("chdb")).path)
    with stack.lend_database() as name, connect(stack.dsn("chdb"), name) as store:
        fill(store)
        authenticator = Authenticator.over(store, QuerySettings(admin_key=ADMIN_KEY))
        audit = AuditLog(store, batch_seconds=0.01)
        key = KeyStore(store).create("tools", "ann", [Grant.parse(grant) for grant in GRANTS])[0].text
        server = ClickHouseHttp(
            folder, "127.0.0.1", 0, "writer", "secret", database=name, authenticator=authenticator, audit=audit
        )
        with server:
            yield Port(f"http://127.0.0.1:{server.port}", store, audit, key)
        authenticator.keys.close()
        audit.close()


def test_a_key_is_the_password_of_any_user(port: Port) -> None:
    mine = str(2 * ROWS)
    assert port.count(auth=("default", port.key)) == mine
    assert port.count(auth=("ann", port.key)) == mine
    assert port.count(headers={"authorization": f"Bearer {port.key}"}) == mine
    assert port.count(headers={"x-clickhouse-user": "default", "x-clickhouse-key": port.key}) == mine
    assert port.count(headers={"x-clickhouse-key": port.key}) == mine
    assert port.count(params={"user": "default", "password": port.key}) == mine
    assert port.count(auth=("default", ADMIN_KEY)) == str(EVERY)
    assert port.count(auth=("writer", "secret")) == str(EVERY)


def test_without_a_valid_key_there_is_an_error_of_clickhouse(port: Port) -> None:
    wrong = new_key().text
    for request in (
        {},
        {"auth": ("default", "")},
        {"auth": ("default", wrong)},
        {"auth": ("writer", "wrong")},
        {"auth": (wrong, "")},
        {"params": {"user": "default"}},
        {"params": {"password": wrong}},
        {"headers": {"authorization": f"Bearer {wrong}"}},
        {"headers": {"authorization": "Bearer"}},
        {"headers": {"authorization": "Basic %%%"}},
    ):
        assert port.count(**request) == "516", request
    answer = httpx.get(port.url, params={"query": "SELECT 1"}, auth=(wrong, wrong))
    assert answer.status_code == 401
    assert "send a key of Stepwell as the password" in answer.text
    assert wrong not in answer.text
    # A health check of a client before it has credentials.
    assert httpx.get(f"{port.url}/ping").text == "Ok.\n"


def test_a_key_does_not_write(port: Port) -> None:
    for key in (port.key, ADMIN_KEY):
        for statement in ("INSERT INTO points_number (key) VALUES ('x')", "TRUNCATE TABLE points_number"):
            assert port.ask(statement, key).headers["X-ClickHouse-Exception-Code"] == "164"


@pytest.mark.parametrize("kind", SAMPLE)
def test_an_answer_is_computed_from_visible_rows(port: Port, kind: str) -> None:
    for sql, expected in ANSWERED[kind]:
        answer = port.ask(sql, default_format="JSONCompact")
        assert answer.status_code == 200, (sql, answer.text)
        [[value]] = answer.json()["data"]
        assert value in {expected, str(expected)}, sql


@pytest.mark.parametrize("kind", REFUSED)
def test_a_statement_that_reaches_further_is_refused(port: Port, kind: str) -> None:
    answered = {"SELECT getSetting('additional_table_filters')", "SHOW TABLES FROM system", "SHOW DATABASES"}
    answered |= {f"SELECT * FROM {table}" for table in ("system.tables", "system.columns", "information_schema.tables")}
    for sql in REFUSED[kind]:
        answer = port.ask(sql)
        assert (answer.status_code == 200) == (sql in answered), (sql, answer.text)
        # Those that are answered have a test of their own.
        assert sql in answered or not shown(answer.text, sql), (sql, answer.text)


def test_system_tables_describe_the_views_alone(port: Port) -> None:
    own = f"database = '{port.store.database}'"
    assert set(port.ask(f"SELECT name FROM system.tables WHERE {own}").text.split()) == set(PUBLIC_VIEWS)
    assert set(port.ask(f"SELECT DISTINCT table FROM system.columns WHERE {own}").text.split()) == set(PUBLIC_VIEWS)
    assert set(port.ask("SHOW TABLES FROM {database}").text.split()) == set(PUBLIC_VIEWS)
    assert port.ask("SELECT sum(total_rows), sum(data_compressed_bytes) > 0 FROM system.tables AS a "
                    "LEFT JOIN system.columns AS b ON a.name = b.table AND a.database = b.database "
                    f"WHERE a.{own}").text.split() == ["\\N", "0"]  # fmt: skip
    databases = set(port.ask("SHOW DATABASES").text.split())
    assert port.store.database in databases
    assert databases <= {port.store.database, "system", "information_schema", "INFORMATION_SCHEMA"}
    assert "points_number" not in port.ask("SELECT table_name FROM information_schema.tables").text
    assert port.ask("SHOW COLUMNS FROM points_number").text == ""
    for table in ("parts", "data_skipping_indices", "projections", "dictionaries", "clusters", "completions"):
        assert port.ask(f"SELECT * FROM system.{table}").headers["X-ClickHouse-Exception-Code"] == "164"


@pytest.mark.parametrize("alias", ["system.tables", "system.databases", "system.columns", "{database}.points_number"])
def test_an_alias_lifts_no_filter(port: Port, alias: str) -> None:
    """ClickHouse also looks filters up by alias."""
    for column, table in {
        "table": "system.columns",
        "name": "system.tables",
        "database": "system.databases",
        "concat(key, toString(value))": "{database}.numbers",
        "detail": "{database}.audit",
    }.items():
        # An error, or the same rows: a filter that is found by the alias comes in addition to the right one.
        answer = port.ask(f"SELECT {column} AS shown FROM {table} AS `{alias}`")
        if answer.status_code == 200:
            assert not shown(answer.text, ""), (table, alias)
            assert "points_number" not in answer.text.split(), (table, alias)


@pytest.mark.parametrize(
    "field",
    [
        *("additional_table_filters", "query_plan_merge_filters", "optimize_move_to_prewhere", "use_query_cache"),
        *("role", *sorted(COUNTING)),
    ],
)
def test_a_setting_of_the_url_lifts_no_filter(port: Port, field: str) -> None:
    assert (field in RULES) == (field in COUNTING)
    answer = port.ask("SELECT count() FROM numbers", **{field: "1"})
    if field == "role":
        # A field of the protocol, without an effect.
        assert answer.text == f"{2 * ROWS}\n"
    else:
        assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert port.ask(f"SET {field} = 1").headers["X-ClickHouse-Exception-Code"] in {"164", "62"}


def test_sessions_do_not_carry_settings(port: Port) -> None:
    for key, expected in ((port.key, 2 * ROWS), (ADMIN_KEY, EVERY), (port.key, 2 * ROWS)):
        assert port.ask("SELECT count() FROM numbers", key, session_id="s").text == f"{expected}\n"


@pytest.mark.parametrize("form", ["JSON", "JSONCompact", "JSONColumnsWithMetadata", "JSONEachRow", "CSV", "Arrow"])
def test_no_format_counts_rows_that_were_filtered_out(port: Port, form: str) -> None:
    statement = "SELECT count() AS n FROM numbers WHERE entity = '{}'"
    answers = [port.ask(statement.format(name) + f" FORMAT {form}") for name in ("other", "othes")]
    assert answers[0].content == answers[1].content
    assert b"statistics" not in answers[0].content
    summaries = [json.loads(answer.headers["X-ClickHouse-Summary"]) for answer in answers]
    for summary in summaries:
        del summary["elapsed_ns"]
    assert summaries[0] == summaries[1]
    answer = port.ask(statement.format("me") + " FORMAT JSONEachRowWithProgress")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    answer = port.ask(statement.format("me"), default_format="JSONEachRowWithProgress")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "73"


def test_the_database_of_the_views_is_the_default(port: Port) -> None:
    for database in ("", "default"):
        answer = port.ask("WITH x AS (SELECT * FROM numbers) SELECT count() FROM x", database=database)
        assert answer.text == f"{2 * ROWS}\n"


def test_a_client_reads_with_a_key(port: Port) -> None:
    parts = urlsplit(port.url)
    client = clickhouse_connect.get_client(
        host=parts.hostname, port=parts.port, username="default", password=port.key, database=port.store.database
    )
    assert client.query("SELECT count() FROM runs").result_rows == [(2 * len(MINE),)]
    with pytest.raises(DatabaseError):
        client.query("SELECT count() FROM points_number")
    client.close()


def test_statements_are_in_the_audit_log(port: Port) -> None:
    assert port.ask("SELECT count() FROM numbers WHERE 'mark' != ''").status_code == 200
    assert port.ask("SELECT bad syntax here 'mark'").status_code == 400
    assert port.count(auth=("default", new_key().text)) == "516"
    sql = "SELECT status, actor, detail, address FROM {db}.audit WHERE action = 'sql' AND detail LIKE '%mark%' AND"
    sql += " detail NOT LIKE '%audit%' ORDER BY time, status"
    eventually(lambda: port.store.query(sql).num_rows, 2)
    rows = port.store.query(sql).to_pylist()
    assert [(row["status"], row["actor"], row["address"]) for row in rows] == [
        (200, "ann", "127.0.0.1"),
        (400, "ann", "127.0.0.1"),
    ]
    detail = json.loads(rows[0]["detail"])
    assert (detail["statement"], detail["via"]) == ("SELECT count() FROM numbers WHERE 'mark' != ''", "clickhouse")
    denied = "SELECT count() AS n FROM {db}.audit WHERE action = 'access_denied' AND status = 401"
    eventually(lambda: port.store.query(denied).column("n")[0].as_py() > 0, True)
