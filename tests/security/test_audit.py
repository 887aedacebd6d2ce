"""The audit log: requests leave entries, and each key sees those of what it administers, and its own by SQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from stepwell_schemas.access.keys import new_key
from stepwell_schemas.clickhouse.store import connect
from support.servers.sdk import eventually
from support.servers.stack import Stack

from .scoped_sql import ADMIN_KEY, FOREIGN, MINE, SECRET, ScopedSql, fill, scoped_sql

PROJECT = "me/digits"


@pytest.fixture(scope="module")
def served(stack: Stack) -> Iterator[ScopedSql]:
    with stack.lend_database() as name, connect(stack.dsn("chdb"), name) as store:
        fill(store)
        with scoped_sql(store) as served:
            yield served


def get(served: ScopedSql, key: str, path: str = "/api/v1/audit", **query: Any) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=served.app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
            return await client.get(path, params=query)

    return asyncio.run(send())


def entries(served: ScopedSql, key: str, **query: Any) -> list[dict[str, Any]]:
    answer = get(served, key, **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


def test_administrators_list_entries_of_what_they_administer(served: ScopedSql) -> None:
    assert len(entries(served, ADMIN_KEY, action="run.edit")) == len(MINE) + len(FOREIGN)
    own = entries(served, served.add_key(f"admin:{PROJECT}"))
    assert {(entry["entity"], entry["project"]) for entry in own} == {("me", "digits")}
    assert own[0]["detail"] == {"text": "plain"}
    of_entity = entries(served, served.add_key("admin:me"))
    assert {entry["entity"] for entry in of_entity} == {"me"}
    assert len(of_entity) == 3
    for grants in (("read",), ("write:me", "read"), (f"write:{PROJECT}",)):
        assert get(served, served.add_key(*grants)).status_code == 403
    assert get(served, "wrong").status_code == 401


def test_entries_are_filtered_and_come_in_pages(served: ScopedSql) -> None:
    every = entries(served, ADMIN_KEY, action="run.edit")
    assert [entry["time"] for entry in every] == sorted((entry["time"] for entry in every), reverse=True)
    assert entries(served, ADMIN_KEY, action=["run.edit", "run.stop"], entity="other") == [
        entry for entry in every if entry["entity"] == "other"
    ]
    assert len(entries(served, ADMIN_KEY, actor=SECRET, project="digits")) == 2
    assert entries(served, ADMIN_KEY, run_id="none") == []
    assert entries(served, ADMIN_KEY, until="2020-01-01") == []
    assert len(entries(served, ADMIN_KEY, action="run.edit", since="2020-01-01T00:00:00+02:00")) == len(every)
    assert entries(served, ADMIN_KEY, since="2200-01-01T00:00:00Z") == []
    paged: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = get(served, ADMIN_KEY, action="run.edit", limit=2, **cursor).json()
        paged += page["entries"]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert paged == every


@pytest.mark.parametrize(
    "query", [{"action": "x"}, {"limit": 0}, {"limit": 1_001}, {"cursor": "x"}, {"since": "x"}, {"other": "x"}]
)
def test_a_wrong_parameter_is_named(served: ScopedSql, query: dict[str, Any]) -> None:
    answer = get(served, ADMIN_KEY, **query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].split(".")[0] == next(iter(query))


def test_the_view_shows_a_key_its_own_entries_and_those_it_administers(served: ScopedSql) -> None:
    reader, all_reader = served.add_key("read:me"), served.add_key("read", "admin:other")
    for key in (reader, all_reader, ADMIN_KEY):
        served.rows("SELECT count() FROM runs WHERE 'mark' != ''", key)
    sql = "SELECT key_id, entity, action, detail FROM audit ORDER BY time"

    def of_sql(key: str) -> set[tuple[str, str]]:
        return {(row[0], row[2]) for row in served.rows(sql, key) if "mark" in row[3]}

    eventually(lambda: len({key for key, _ in of_sql(ADMIN_KEY)}), 3)
    [(reader_id, _)] = of_sql(reader)
    assert {row[0] for row in served.rows(sql, reader)} == {reader_id}
    shown = served.rows(sql, all_reader)
    assert {row[1] for row in shown} == {"", "other"}
    assert len({row[0] for row in shown if not row[1]}) == 1
    # The view keeps these limits in every form of statement.
    for text in ("SELECT count() FROM (SELECT * FROM audit)", "WITH x AS (SELECT * FROM audit) SELECT count() FROM x"):
        assert served.rows(f"{text} WHERE entity = 'me'", all_reader) == [[0]]
        assert served.rows(f"{text} WHERE throwIf(entity = 'me') = 0", all_reader) != [[0]]
    assert served.post("SELECT * FROM audit_events", all_reader).status_code == 422
    assert served.post("SELECT * FROM access_keys", ADMIN_KEY).status_code == 422


def test_statements_and_refused_requests_leave_entries(served: ScopedSql) -> None:
    key = served.add_key(f"read:{PROJECT}")
    served.rows("SELECT run_id FROM runs -- answered", key)
    assert served.post("SELECT nothing -- refused", key).status_code == 422
    wrong = new_key().text
    assert served.post("SELECT 1", wrong).status_code == 401
    assert get(served, key).status_code == 403

    def entries_of(action: str) -> list[dict[str, Any]]:
        return [entry for entry in entries(served, ADMIN_KEY, action=action) if "marked" not in str(entry)]

    def by_text(text: str) -> list[tuple[int, Any]]:
        found = [entry for entry in entries_of("sql") if text in entry["detail"].get("statement", "")]
        return [(entry["status"], entry["detail"].get("rows")) for entry in found]

    eventually(lambda: by_text("-- answered"), [(200, 2)])
    eventually(lambda: by_text("-- refused"), [(422, None)])
    denied = [(entry["status"], entry["actor"], entry["detail"]["path"]) for entry in entries_of("access_denied")]
    assert (401, "", "/api/v1/sql") in denied
    assert (403, "owner", "/api/v1/audit") in denied
    assert wrong not in json.dumps(entries(served, ADMIN_KEY))
