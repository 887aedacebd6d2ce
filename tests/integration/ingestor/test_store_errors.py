"""Errors of ClickHouse, by their class: those that pass are waited for, and refused values are set apart."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import pyarrow as pa
import pytest

from stepwell_schemas.clickhouse.errors import engine_call
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import DeadLetterReason
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent
from support.servers.ingest import PATH, counted, ingesting, make_ingestor_settings, read_all, send, until
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio

# Memory, quotas, time, cancelled statements, disks and object stores.
PASSING = (201, 203, 236, 241, 394, 439, 499)


class ErringStore(Store):
    """A store that answers its first reads, and its first inserts, with an error of each given code."""

    def __init__(self, store: Store, codes: tuple[int, ...]) -> None:
        self._store = store
        self.reads = list(codes)
        self.inserts = list(codes)

    def query(self, sql: str, parameters: Any = None) -> pa.Table:
        """Fail, or ask the real store."""
        if self.reads:
            engine_call(_fail, self.reads.pop())
        return self._store.query(sql, parameters)

    def command(self, sql: str, parameters: Any = None) -> None:
        """Pass a statement on."""
        self._store.command(sql, parameters)

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Fail, or insert into the real store."""
        if self.inserts:
            engine_call(_fail, self.inserts.pop())
        self._store.insert(table, rows, token)


def _fail(code: int) -> NoReturn:
    raise RuntimeError(f"Code: {code}. DB::Exception: for now. (FOR_NOW)")


def an_event(step: int, **data: Any) -> bytes:
    return encode(LogEvent(**PATH._asdict(), session="s", sequence=step, step=step, data=data, timestamp=4_500))


async def test_errors_that_pass_are_waited_for_on_reads_and_inserts(
    broker: str, topics: Topics, chdb_store: Store
) -> None:
    erring = ErringStore(chdb_store, PASSING)
    async with ingesting(make_ingestor_settings(broker, topics, ingestor_retry_seconds=0.1), erring):
        await send(broker, topics.events, [an_event(step, a=float(step)) for step in range(3)])
        await until(counted(chdb_store, "numbers"), 3)
    assert erring.reads == erring.inserts == []


async def test_values_that_the_engine_refuses_are_one_dead_letter_and_the_rest_is_stored(
    broker: str, topics: Topics, chdb_store: Store
) -> None:
    chdb_store.command("ALTER TABLE {db}.points_string ADD CONSTRAINT no_poison CHECK value != 'poison'")
    events = [an_event(step, text="poison" if step == 3 else "good", number=float(step)) for step in range(7)]
    await send(broker, topics.events, events)
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store):
        await until(counted(chdb_store, "numbers"), 7)
        await until(counted(chdb_store, "strings"), 6)
        [letter] = await read_all(broker, topics.deadletters, 1)
        await send(broker, topics.events, [an_event(7, text="good", number=7.0)])
        await until(counted(chdb_store, "strings"), 7)
    headers = {name: value.decode() for name, value in letter.headers}
    assert headers["reason"] == DeadLetterReason.UNUSABLE
    assert headers["stored"] == "partly"
    assert letter.value == events[3]
    steps = await asyncio.to_thread(chdb_store.query, "SELECT groupArray(step) AS s FROM {db}.strings WHERE step != 3")
    assert sorted(steps.column("s")[0].as_py()) == [0, 1, 2, 4, 5, 6, 7]
    counts = await asyncio.to_thread(chdb_store.query, "SELECT key, count FROM {db}.metrics ORDER BY key")
    assert counts.to_pylist() == [{"key": "number", "count": 8}, {"key": "text", "count": 7}]
