"""A request for many runs answers as separate requests do; its number of statements does not grow with the runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from stepwell_query.series import read_batches
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.readers.views import noisy
from support.servers.query import Service, service_over
from support.servers.stack import Stack

pytestmark = [pytest.mark.anyio, pytest.mark.one_dsn]

KEYS = ["loss", "ACC", "flag", "text", "never"]


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[str]:
    """A database that these tests share: they only read it."""
    with stack.lend_database() as name:
        yield name


@pytest.fixture
def service(store: Store) -> Iterator[Service]:
    with service_over(store) as service:
        yield service


@pytest.fixture(scope="module")
def runs(stack: Stack, database: str) -> list[RunPath]:
    """Runs of two projects that end at different steps, each with keys of different lengths, kinds and spellings."""
    paths = [RunPath("me", f"project {number % 2}", f"run {name}") for number, name in enumerate("zäabc")]
    for number, path in enumerate(paths):
        run = RunWriter(stack.embedded(database), path).document()
        length = 2_000 + number * 1_777
        run.numbers("loss", np.arange(length), noisy(length, number))
        run.numbers("Acc", np.arange(0, length, 3), noisy(len(range(0, length, 3)), number)).spelling("Acc")
        run.bools("flag", range(number + 1), [True] * (number + 1)).strings("text", [1], ["x"])
        if number == 2:
            run.numbers("loss", [7, 1_500], [1e6, -1e6])
    return paths


async def ask_many(service: Service, paths: list[RunPath], **more: Any) -> list[dict[str, Any]]:
    body = {"runs": [str(path) for path in paths], "keys": KEYS, **more}
    answer = await service.client.post("/api/v1/series", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["runs"]
    return found


async def test_each_run_is_answered_as_if_alone(
    service: Service, runs: list[RunPath], monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[dict[str, Any]] = [
        {"points": 10},
        {"points": 10, "from": 130, "to": 6_001, "x": "_runtime"},
        {"points": 100, "sampling": "lttb", "smoothing": 0.5},
        {"points": 30, "x": "loss"},
    ]
    for query in queries:
        alone = [await service.json(path, "series", key=KEYS, **query) for path in runs]
        assert await ask_many(service, runs, **query) == alone
    # In portions of one or two series, as for series with very many rows.
    monkeypatch.setattr(read_batches.plan_batches, "__defaults__", (500,))
    alone = [await service.json(path, "series", key=KEYS, points=10) for path in runs]
    assert await ask_many(service, runs, points=10) == alone
    assert [found["unknown_keys"] for found in alone] == [["never"]] * 5
    assert [found["undrawn"] for found in alone] == [[{"key": "text", "kind": "string"}]] * 5


async def test_statements_do_not_grow_with_the_runs(
    service: Service, runs: list[RunPath], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [path for path in runs if path.project == "project 0"]
    counts = []
    query = store.query
    for number in (1, len(own)):
        seen: list[str] = []
        monkeypatch.setattr(
            store, "query", lambda sql, parameters=None, seen=seen: (seen.append(sql), query(sql, parameters))[1]
        )
        await ask_many(service, own[:number], points=10)
        # Keys, and the projects that removed rows, are read after some seconds.
        counts.append(sum("access_keys" not in sql and "retained_steps" not in sql for sql in seen))
    # Series of the same length are read in one statement, others in one for rollups and one for points; and a run with
    # steps written twice takes another one for the ends of its ranges.
    assert counts[0] <= 9
    assert counts[1] <= counts[0] + 2
