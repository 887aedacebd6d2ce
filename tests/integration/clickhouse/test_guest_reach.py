"""Guests reach nothing outside the tables: every setting, function, table function and format of the engine is tried.

The names come from the engine's own lists, so that those of a new version are tried too. A folder is watched for
files that are opened, and a socket for connections.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from stepwell_deploy.clickhouse_server.formats import content_type
from stepwell_deploy.clickhouse_server.guest_settings import RULES
from stepwell_deploy.clickhouse_server.request import PROTOCOL_FIELDS
from stepwell_query.sql.functions import ASKED_BY_TOOLS, HARMLESS, PLAIN_FORMATS, PURE_CATEGORIES, TABLE_FUNCTIONS
from stepwell_schemas.clickhouse.store import Store
from support.draws import draws, in_turn
from support.servers.stack import Stack

REFUSED = "164"
SUSPICIOUS = re.compile(
    "path|file|schema|url|dir|host|format|template|disk|endpoint|source|bucket|secret|password|user|cluster|dialect"
    "|readonly|allow|profile|collection|cache|registry|script|policy|backup"
)


class Canary:
    """A file in a watched folder, and a listening socket."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "canary.csv"
        self.file.write_text("1\n")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._watch = self._libc.inotify_init1(os.O_NONBLOCK)
        everything = 0x00000FFF
        assert self._libc.inotify_add_watch(self._watch, str(folder).encode(), everything) > 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"

    def touched(self) -> bool:
        """Return whether the folder was used, or a connection opened, since the last call."""
        used = False
        with suppress(BlockingIOError):
            used = bool(os.read(self._watch, 65_536))
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return used
        return True

    def close(self) -> None:
        os.close(self._watch)
        self._socket.close()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    if not sys.platform.startswith("linux"):
        pytest.skip("files are watched by inotify, which Linux has")
    watched = Canary(tmp_path)
    yield watched
    watched.close()


@pytest.fixture
def guest(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.guest_dsn(), timeout=60) as client:
        yield client


@pytest.fixture
def names(chdb_store: Store) -> Callable[[str], list[str]]:
    """A function that returns the names that a statement lists, without the guests' restrictions."""
    return lambda sql: chdb_store.query(sql).column("name").to_pylist()


def error_code(answer: httpx.Response) -> str:
    return str(answer.headers.get("X-ClickHouse-Exception-Code", ""))


def test_the_canary_sees_what_happens(canary: Canary) -> None:
    assert not canary.touched()
    canary.file.read_text()
    assert canary.touched()
    socket.create_connection(("127.0.0.1", int(canary.address.rpartition(":")[2]))).close()
    assert canary.touched()


def test_no_setting_opens_anything(guest: httpx.Client, canary: Canary, names: Callable[[str], list[str]]) -> None:
    settings = [name for name in names("SELECT name FROM system.settings") if SUSPICIOUS.search(name)]
    settings = [name for name in settings if name not in PROTOCOL_FIELDS]
    assert {"format_schema", "output_format_schema", "format_template_resultset", "url_base"} <= set(settings)
    # Settings are refused by their names: in `make test`, those without a rule get one of the values each.
    values = str(canary.file), f"http://{canary.address}/"
    for number, name in enumerate(settings):
        for value in in_turn(values, number, len(values) if name in RULES else draws(1, len(values))):
            expected = "452" if name in RULES else REFUSED
            assert error_code(guest.get("/", params={"query": "SELECT 1", name: value})) == expected, (name, value)
    # Headers are never settings.
    for part in (settings[start : start + 50] for start in range(0, len(settings), 50)):
        headers = {name.replace("_", "-"): str(canary.file) for name in part}
        headers |= {f"X-ClickHouse-Setting-{name}": str(canary.file) for name in headers}
        assert guest.get("/", params={"query": "SELECT 1"}, headers=headers).text == "1\n"
    assert not canary.touched()


@pytest.mark.parametrize(
    "statement",
    ["SELECT 1 SETTINGS {}", "SELECT 1 FORMAT CSV SETTINGS {}", "SELECT * FROM (SELECT 1 SETTINGS {})", "SET {}"],
)
def test_no_statement_changes_a_setting(
    guest: httpx.Client, canary: Canary, names: Callable[[str], list[str]], statement: str
) -> None:
    # All settings in one request: any accepted one would still open the file.
    settings = names("SELECT name FROM system.settings WHERE type = 'String'")
    for part in (settings[start : start + 40] for start in range(0, len(settings), 40)):
        text = ", ".join(f"{name} = '{canary.file}'" for name in part)
        assert error_code(guest.post("/", content=statement.format(text))) == REFUSED, text
    for name in RULES:
        assert error_code(guest.post("/", content=statement.format(f"{name} = 1"))) in {REFUSED, "62"}, name
    assert not canary.touched()


def test_no_table_function_opens_anything(
    guest: httpx.Client, canary: Canary, names: Callable[[str], list[str]]
) -> None:
    functions = names("SELECT name FROM system.table_functions")
    assert {"file", "url", "remote", "s3", "executable", "loop", "view", "merge", "input"} <= set(functions)
    arguments = [
        f"'{canary.file}', 'CSV', 'a String'",
        f"'http://{canary.address}/b/k', 'CSV', 'a String'",
        f"'{canary.address}', 'd', 't', 'u', 'p'",
    ]
    for name in functions:
        if name.lower() in TABLE_FUNCTIONS:
            continue
        for given in arguments:
            # Some are syntax errors with these arguments.
            assert error_code(guest.post("/", content=f"SELECT * FROM `{name}`({given})")) in {REFUSED, "62"}, name
        assert error_code(guest.post("/", content=f"DESCRIBE TABLE {name}({arguments[0]})")) in {REFUSED, "62"}, name
    assert not canary.touched()


def test_only_functions_of_their_arguments_are_called(guest: httpx.Client, canary: Canary, chdb_store: Store) -> None:
    rows = chdb_store.query(
        "SELECT name, alias_to, categories, ifNull(deterministic, 0) AS pure FROM system.functions"
    ).to_pylist()
    category = {row["name"].lower(): row["categories"] for row in rows if not row["alias_to"]}
    tried = 0
    for row in rows:
        target = (row["alias_to"] or row["name"]).lower()
        # Functions without a category can't be checked by it; combinators are not separate functions.
        assert category.get(target) or row["alias_to"], target
        listed = category.get(target, "Aggregate Functions") in PURE_CATEGORIES or target in HARMLESS
        if listed and row["pure"] and not SUSPICIOUS.search(row["name"].lower()):
            continue
        spared = ASKED_BY_TOOLS.fullmatch(row["name"].lower())
        answer = guest.post("/", content=f"SELECT `{row['name']}`('{canary.file}'), '{canary.address}'")
        if not listed and not spared:
            assert error_code(answer) == REFUSED, row["name"]
        tried += 1
    assert tried > 200
    assert not canary.touched()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * APPLY file FROM (SELECT '{file}' AS x)",
        "SELECT * APPLY(x -> file(x)) FROM (SELECT '{file}' AS x)",
        "SELECT COLUMNS('x') APPLY file FROM (SELECT '{file}' AS x)",
        "SELECT * REPLACE(file('{file}') AS x) FROM (SELECT 'a' AS x)",
        "SELECT 1 ORDER BY file('{file}')",
        "SELECT number FROM numbers(3) LIMIT length(file('{file}'))",
        "SELECT sum(number) OVER (ORDER BY file('{file}')) FROM numbers(1)",
        "SELECT number FROM numbers(1) ORDER BY number WITH FILL INTERPOLATE (number AS length(file('{file}')))",
        "WITH file('{file}') AS f SELECT f",
        "SELECT arrayMap(x -> file(x), ['{file}'])",
        "SELECT formatRow('ProtobufSingle', 1)",
        "SELECT formatRow(concat('Proto', 'buf'), 1)",
        "WITH 'Template' AS f SELECT formatRow(f, 1)",
        "SELECT groupFormat('Protobuf')(number) FROM numbers(1)",
        "SELECT groupFormatIf('Protobuf')(number, 1) FROM numbers(1)",
        "SELECT arrayReduce('groupFormat(\\'Protobuf\\')', [1])",
        "SELECT arrayReduce(concat('group', 'Format'), [1])",
        "SELECT * FROM format('Template', '1')",
        "SELECT * FROM format(AvroConfluent, 'a Int8', '1')",
        "SELECT * FROM format(CapnProto, 'a Int8', '1')",
        "SELECT 1 FORMAT `Template`",
        "SELECT 1 INTO OUTFILE '{file}'",
        "SELECT 1 INTO OUTFILE '{file}' TRUNCATE FORMAT CSV",
        "EXPLAIN SELECT * FROM file('{file}')",
        "SELECT * FROM view(SELECT * FROM file('{file}'))",
        "SELECT * FROM mergeTreeIndex(currentDatabase(), points_number)",
        "SELECT * FROM eval('SELECT file(\\'{file}\\')')",
    ],
)
def test_no_way_round_the_tree(guest: httpx.Client, canary: Canary, statement: str) -> None:
    answer = guest.post("/", content=statement.replace("{file}", str(canary.file)))
    assert error_code(answer) == REFUSED, answer.text
    assert not canary.touched()


def test_only_plain_formats_are_written(guest: httpx.Client, canary: Canary, chdb_store: Store) -> None:
    rows = chdb_store.query("SELECT name, content_type FROM system.formats WHERE is_output").to_pylist()
    assert {row["name"] for row in rows} >= PLAIN_FORMATS
    for row in rows:
        name = row["name"]
        plain = name in PLAIN_FORMATS
        by_clause = guest.post("/", content=f"SELECT [1.5] AS one FORMAT {name}")
        by_field = guest.get("/", params={"query": "SELECT [1.5] AS one", "default_format": name})
        by_header = guest.get("/", params={"query": "SELECT [1.5] AS one"}, headers={"X-ClickHouse-Format": name})
        expected = ("", "", "") if plain else (REFUSED, "73", "73")
        if name not in {"Npy", "RawBLOB", "Buffers"}:
            assert (error_code(by_clause), error_code(by_field), error_code(by_header)) == expected, name
        if plain:
            assert content_type(name) == row["content_type"], name
            assert by_field.headers["content-type"] in {row["content_type"], "text/plain; charset=UTF-8"}
    assert not canary.touched()


def test_only_harmless_system_tables_are_read(guest: httpx.Client, names: Callable[[str], list[str]]) -> None:
    secret = {"processes", "query_log", "users", "grants", "named_collections", "server_settings", "disks", "metrics"}
    tables = names("SELECT name FROM system.tables WHERE database = 'system'")
    assert secret - {"query_log"} <= set(tables)
    read = {
        name for name in tables if not error_code(guest.post("/", content=f"SELECT 1 FROM system.`{name}` LIMIT 1"))
    }
    assert not read & secret
    assert {"tables", "columns", "one"} <= read
    assert not [name for name in read if re.search("log|user|role|grant|session|process|connection|polic|secret", name)]
