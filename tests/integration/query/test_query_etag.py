"""Entity tags: 304 while nothing has changed, and never when something has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.servers.query import Service, service_over

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

RUN = RunPath("me", "tags", "run")
OTHER = RunPath("me", "tags", "other")


@pytest.fixture
def service(chdb_store: Store) -> Iterator[Service]:
    with service_over(chdb_store, query_cache_bytes=1 << 20) as service:
        yield service


@pytest.fixture
def run(chdb_store: Store) -> RunWriter:
    return RunWriter(chdb_store, RUN).document().numbers("loss", range(100), np.arange(100.0))


class Counting:
    """Counts the statements that a store runs for answers.

    Keys, and the projects that removed rows, are read after some seconds, whatever the number of requests.
    """

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements = 0
        query = store.query

        def counted(statement: str, *arguments: Any) -> Any:
            self.statements += "access_keys" not in statement and "retained_steps" not in statement
            return query(statement, *arguments)

        monkeypatch.setattr(store, "query", counted)


async def test_a_refresh_costs_one_statement_while_nothing_changes(
    service: Service, run: RunWriter, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await service.get(RUN, "series", key="loss")
    tag = first.headers["etag"]
    assert (first.headers["cache-control"], first.headers["vary"]) == ("no-cache", "accept")
    counting = Counting(chdb_store, monkeypatch)
    for held in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await service.get(RUN, "series", key="loss", headers={"if-none-match": held})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert again.headers["cache-control"] == "no-cache"
    assert counting.statements == 3
    assert (await service.get(RUN, "series", key="loss", headers={"if-none-match": '"x"'})).content == first.content


async def test_another_viewer_is_answered_by_one_statement_while_nothing_changes(
    service: Service, run: RunWriter, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await service.get(RUN, "series", key="loss")
    counting = Counting(chdb_store, monkeypatch)
    again = await service.get(RUN, "series", key="loss")
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert counting.statements == 1
    run.numbers("loss", [100], [7.0])
    changed = (await service.get(RUN, "series", key="loss")).json()["series"][0]
    assert changed["value"][-1] == 7.0


async def test_a_service_without_a_cache_reads_again(
    cold: Service, run: RunWriter, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(chdb_store, monkeypatch)
    first = await cold.get(RUN, "series", key="loss")
    once = counting.statements
    assert (await cold.get(RUN, "series", key="loss")).content == first.content
    assert counting.statements == 2 * once


async def test_whatever_a_flush_stores_changes_the_tag(service: Service, run: RunWriter) -> None:
    async def tag() -> str:
        return str((await service.get(RUN, "series", key="loss")).headers["etag"])

    tags = [await tag()]
    run.numbers("loss", [100], [1.0])
    tags.append(await tag())
    run.numbers("loss", [100], [2.0])
    tags.append(await tag())
    run.strings("note", [5], ["x"])
    tags.append(await tag())
    assert len(set(tags)) == len(tags)
    assert await tag() == tags[-1]


async def test_another_request_has_another_tag(service: Service, run: RunWriter) -> None:
    queries: list[dict[str, Any]] = [
        {},
        {"points": 10},
        {"from": 1},
        {"x": "_runtime"},
        {"nan": "literal"},
        {"sampling": "lttb"},
        {"smoothing": 0.5},
        {"key": ["loss", "acc"]},
        {"format": "csv"},
        {"format": "arrow"},
    ]
    tags = [(await service.get(RUN, "series", **{"key": "loss"} | query)).headers["etag"] for query in queries]
    by_header = await service.get(RUN, "series", key="loss", headers={"accept": "text/csv"})
    assert len(set(tags)) == len(tags)
    assert by_header.headers["etag"] not in {tags[0], *tags[9:]}


async def test_post_answers_304_too(service: Service, run: RunWriter, chdb_store: Store) -> None:
    async def post(held: str = "") -> httpx.Response:
        body = {"runs": [str(RUN), str(OTHER)], "keys": ["loss"]}
        return await service.client.post("/api/v1/series", json=body, headers={"if-none-match": held} if held else {})

    first = await post()
    tag = first.headers["etag"]
    assert (await post(tag)).status_code == 304
    # A run that was not there counts from its first flush on.
    RunWriter(chdb_store, OTHER).document().numbers("loss", [1], [1.0])
    changed = await post(tag)
    assert (changed.status_code, len(changed.json()["runs"])) == (200, 2)
    assert changed.headers["etag"] != tag


async def test_errors_have_no_tag(service: Service, run: RunWriter) -> None:
    for query in ({"key": "loss", "x": "nothing"}, {"key": "loss", "points": 0}):
        refused = await service.get(RUN, "series", **query)
        assert refused.status_code == 422
        assert "etag" not in refused.headers
    missing = await service.get(OTHER, "series", key="loss")
    assert (missing.status_code, "etag" in missing.headers) == (404, False)
