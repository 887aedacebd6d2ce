"""A client that leaves ends the statements of its view, or its place in the queue: on a real socket, over both DSNs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx
import numpy as np
import pyarrow as pa
import pytest

from integration.query.test_query_left import DEADLINE_SECONDS
from stepwell_query.telemetry import IN_PROGRESS, SERIES_CANCELLED
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.readers.statements import ENDLESS, endless_statements
from support.servers.ingest import until
from support.servers.query import run_url
from support.servers.sdk import serving

RUN: Final = RunPath("me", "views", "one")
UNION: Final = f"{ENDLESS} UNION ALL SELECT 1"

pytestmark = pytest.mark.anyio


class Slow:
    """A store whose statements over points never end; the engine is the real one. `keys` has the key of each."""

    def __init__(self, store: Store, endless: str) -> None:
        self._store = store
        self._endless = endless
        self.keys: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        if ".points_number" not in sql:
            return self._store.query(sql, parameters)
        self.keys.append((parameters or {})["key"])
        return self._store.query(f"{self._endless} SETTINGS{sql.partition('SETTINGS')[2]}")


@pytest.mark.parametrize("endless", [ENDLESS, UNION])
@pytest.mark.parametrize("method", ["GET", "POST", "groups"])
async def test_who_leaves_before_the_answer_ends_the_statement(store: Store, endless: str, method: str) -> None:
    RunWriter(store, RUN).document().numbers("loss", range(100), np.arange(100.0))
    before = SERIES_CANCELLED._value.get()
    with serving(Slow(store, endless), query_max_seconds=3_600) as url:  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as client:
            body = {"runs": [str(RUN)], "keys": ["loss"]}
            coroutine = (
                client.get(run_url(RUN, "series"), params={"key": "loss"})
                if method == "GET"
                else client.post(f"/api/v1/{'series' if method == 'POST' else method}", json=body)
            )
            request = asyncio.create_task(coroutine)
            await until(lambda: endless_statements(store), 1)
            request.cancel()
            await until(lambda: endless_statements(store), 0)
            assert (await client.get("/healthz")).status_code == 200
    assert SERIES_CANCELLED._value.get() == before + 1


async def test_who_leaves_the_queue_has_no_statement(store: Store) -> None:
    writer = RunWriter(store, RUN).document()
    for key in ("a", "b", "c"):
        writer.numbers(key, range(100), np.arange(100.0))
    slow = Slow(store, ENDLESS)
    with serving(slow, query_max_seconds=3_600, query_concurrency=1) as url:  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as client:

            def view(key: str) -> asyncio.Task[httpx.Response]:
                return asyncio.create_task(client.get(run_url(RUN, "series"), params={"key": key}))

            first = view("a")
            await until(lambda: slow.keys, ["a"])
            before, in_progress = SERIES_CANCELLED._value.get(), IN_PROGRESS._value.get()
            waiting = view("b")
            # The newer zoom of the same viewer: its page has left the older one.
            newer = view("c")
            await until(IN_PROGRESS._value.get, in_progress + 2)
            waiting.cancel()
            await until(SERIES_CANCELLED._value.get, before + 1)
            first.cancel()
            await until(lambda: slow.keys[1:] != [], True)
            newer.cancel()
            await until(lambda: endless_statements(store), 0)
    assert slow.keys == ["a", "c"]
