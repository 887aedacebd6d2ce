"""A client that leaves ends its statements: on a real socket, over both DSNs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from threading import Event
from typing import Any, Final

import httpx
import numpy as np
import pyarrow as pa
import pytest

from stepwell_query.telemetry import ROWS_CANCELLED
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.points import RunWriter
from support.readers.statements import ENDLESS, endless_statements
from support.servers.ingest import until
from support.servers.query import run_url
from support.servers.sdk import serving

RUN: Final = RunPath("me", "digits", "one")
DEADLINE_SECONDS: Final = 20

pytestmark = pytest.mark.anyio


class Slow:
    """A store whose statements over values never end, from the `after`-th on; the engine is the real one."""

    def __init__(self, store: Store, after: int = 0) -> None:
        self._store = store
        self._left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def stream(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Iterator[pa.RecordBatch]:
        self._left -= 1
        if self._left >= 0:
            return self._store.stream(sql, parameters)
        return self._store.stream(f"{ENDLESS} SETTINGS{sql.partition('SETTINGS')[2]}")


class Late(Slow):
    """A store whose endless statement over values is sent only after the first kill."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.asked, self.killed, self.ended = Event(), Event(), Event()

    def kill(self, mark: str) -> None:
        self._store.kill(mark)
        self.killed.set()

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        if ".points_number" not in sql:
            return self._store.query(sql, parameters)
        return pa.Table.from_batches(self.stream(sql, parameters))

    def stream(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Iterator[pa.RecordBatch]:
        self.asked.set()
        try:
            assert self.killed.wait(DEADLINE_SECONDS)
            yield from super().stream(sql, parameters)
        finally:
            self.ended.set()


@pytest.mark.parametrize("below", ["history", "scan", "scan?shape=long"])
async def test_who_leaves_before_the_answer_ends_the_statement(store: Store, below: str) -> None:
    RunWriter(store, RUN).document().numbers("loss", range(100), np.arange(100.0))
    before = ROWS_CANCELLED._value.get()
    with serving(Slow(store), query_max_seconds=3_600) as url:  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as client:
            request = asyncio.create_task(client.get(run_url(RUN, below)))
            await until(lambda: endless_statements(store), 1)
            request.cancel()
            await until(lambda: endless_statements(store), 0)
            assert (await client.get("/healthz")).status_code == 200
    assert ROWS_CANCELLED._value.get() == before + 1


@pytest.mark.parametrize("below", ["history", "scan", "series?key=loss"])
async def test_a_statement_that_begins_after_its_kill_is_killed_again(store: Store, below: str) -> None:
    RunWriter(store, RUN).document().numbers("loss", range(100), np.arange(100.0))
    late = Late(store)
    with serving(late, query_max_seconds=3_600) as url:  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as client:
            request = asyncio.create_task(client.get(run_url(RUN, below)))
            await until(late.asked.is_set, True)
            request.cancel()
            await until(late.ended.is_set, True)
            assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("shape", ["wide", "long"])
async def test_who_leaves_in_the_middle_ends_the_statement(store: Store, shape: str) -> None:
    RunWriter(store, RUN).document().numbers("loss", range(100_000), np.arange(100_000.0))
    with serving(Slow(store, after=2), query_max_seconds=3_600, query_scan_values=10_000) as url:  # type: ignore[arg-type]
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_SECONDS) as client:
            async with client.stream("GET", run_url(RUN, f"scan?shape={shape}")) as answer:
                lines = answer.aiter_lines()  # Its end would end the connection.
                await anext(lines)
                await until(lambda: endless_statements(store), 1)
            await until(lambda: endless_statements(store), 0)
            assert (await client.get("/healthz")).status_code == 200
