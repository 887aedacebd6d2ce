"""Exactly once: what is stored when an ingestor, ClickHouse or the group's order fails is what was logged, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reliability.faults.proxy import Proxy
from stepwell_deploy.clickhouse_server.server import ClickHouseHttp
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Event, LogEvent, RunFinished, RunStarted, RunUpdated
from stepwell_schemas.limits import MAX_EVENT_BYTES
from stepwell_schemas.rules.identifiers import RunPath
from support.servers.ingest import (
    PATH,
    a_batch,
    counted,
    ingesting,
    make_ingestor_settings,
    numbers,
    send,
    until,
    until_committed,
)
from support.servers.stack import Stack, Topics

pytestmark = pytest.mark.anyio

SHOWN = (
    "SELECT * FROM {db}.numbers ORDER BY ALL",
    "SELECT * FROM {db}.strings ORDER BY ALL",
    "SELECT * FROM {db}.metrics ORDER BY ALL",
    "SELECT * FROM {db}.runs ORDER BY ALL",
    "SELECT * FROM {db}.step_conflicts ORDER BY ALL",
    # Rows that a repeated insert would double, although the views above would not show it.
    "SELECT key, step, version FROM {db}.points_number GROUP BY ALL HAVING count() > 1",
    # Without FINAL: it does not merge the elements of a tuple that are read one by one.
    "SELECT key, stored.points, stored.not_nan, stored.value_sum, rewritten FROM"
    " (SELECT key, max(totals) AS stored, max(rewritten) AS rewritten FROM {db}.series GROUP BY key) ORDER BY key",
    "SELECT stored.log_rows, stored.points, stored.conflicts, stored.repeated, stored.missing FROM"
    " (SELECT max(totals) AS stored FROM {db}.run_activity)",
    "SELECT folded, spelling, min(first_version) FROM {db}.key_spellings GROUP BY ALL ORDER BY ALL",
)

GROWING_DEATHS = 9

# Of a producer that numbers nothing: only the writer's restored step determines its step.
A_FOREIGN_EVENT = LogEvent(**PATH._asdict(), writer="foreign", data={"f": 1.0}, timestamp=4_500)


class DeathError(Exception):
    """Stands for the end of the process."""


class DyingStore(Store):
    """A store whose process dies at an insert, before or after the engine has done it."""

    def __init__(self, store: Store, lives: int, *, after: bool) -> None:
        self._store = store
        self._lives = lives
        self._after = after

    def query(self, sql: str, parameters: Any = None) -> pa.Table:
        """Ask the real store."""
        return self._store.query(sql, parameters)

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Insert into the real store, or die."""
        self._lives -= 1
        if self._lives >= 0 or self._after:
            self._store.insert(table, rows, token)
        if self._lives < 0:
            raise DeathError


class LosingStore(DyingStore):
    """Dies at the first insert into each table, and leaves it as a kill between its note of a token and the rows."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, 0, after=True)
        self.lost: list[str] = []

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Insert into the real store; the first time, lose the rows and die."""
        self._store.insert(table, rows, token)
        if table not in self.lost:
            self.lost.append(table)
            # A mutation takes the rows and leaves the note, as that kill does. Cleanup of empty parts would take it.
            self._store.command(f"ALTER TABLE {{db}}.{table} MODIFY SETTING remove_empty_parts = 0")
            self._store.command(f"ALTER TABLE {{db}}.{table} DELETE WHERE 1 SETTINGS mutations_sync = 1")
            raise DeathError


def shown(store: Store) -> list[list[dict[str, Any]]]:
    """Return everything that a reader can see."""
    return [store.query(sql).to_pylist() for sql in SHOWN]


def a_log(sequence: int) -> list[Event]:
    """Return 9 numbered records and one without: two spellings, a conflict, a merge, a string, a document."""
    run: dict[str, Any] = {**PATH._asdict(), "session": "s"}
    return [
        RunUpdated(**run, sequence=sequence, config=f'{{"at": {sequence}}}', timestamp=1_000),
        a_batch(sequence + 1, 4),
        LogEvent(**run, sequence=sequence + 5, step=0, data={"A": 1.0, "note": f"at {sequence}"}, timestamp=2_000),
        LogEvent(**run, sequence=sequence + 6, commit=False, data={"new": 1.0}, timestamp=3_000),
        LogEvent(**run, sequence=sequence + 7, data={"new": 2.0}, timestamp=4_000),
        A_FOREIGN_EVENT,
        RunFinished(**run, sequence=sequence + 8, timestamp=5_000 + sequence),
    ]


async def ingest_until_settled(settings: IngestorSettings, store: Store) -> bool:
    """Run an ingestor until it has committed all events; False when it died before."""
    ingestor = Ingestor(settings, store)
    task = asyncio.create_task(ingestor.run())
    settled = asyncio.create_task(until_committed(settings))
    await asyncio.wait({task, settled}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        settled.result()
        await ingestor.stop()
        await task
        return True
    settled.cancel()
    assert isinstance(task.exception(), DeathError)
    return False


async def die_at_every_insert(broker: str, topics: Topics, store: Store, *, after: bool) -> int:
    """Start ingestors that die at the first insert, then at the second, …; return how many died.

    The log grows meanwhile: an owner that ignores the plan would form a different flush.
    """
    for deaths in range(50):
        if await ingest_until_settled(make_ingestor_settings(broker, topics), DyingStore(store, deaths, after=after)):
            return deaths
        if deaths < GROWING_DEATHS:
            await send(broker, topics.events, [encode(A_FOREIGN_EVENT)])
    raise AssertionError("the flush never ended")


async def test_rows_that_clickhouse_noted_and_lost_are_inserted_again(
    broker: str, topics: Topics, chdb_store: Store, open_database: Callable[[], Store]
) -> None:
    await send(broker, topics.events, [encode(event) for event in a_log(0)])
    losing = LosingStore(chdb_store)
    while not await ingest_until_settled(make_ingestor_settings(broker, topics), losing):
        continue
    assert {"points_number", "points_string", "series", "run_activity", "session_activity"} <= set(losing.lost)
    assert {"run_states", "run_documents", "step_conflict_log", "key_spellings"} <= set(losing.lost)
    reference = open_database()
    fresh = make_ingestor_settings(broker, topics, ingestor_group=f"reference-{topics.events}")
    async with ingesting(fresh, reference):
        await until_committed(fresh)
    assert shown(chdb_store) == shown(reference)
    assert shown(chdb_store)[0]


@pytest.mark.parametrize(
    ("after", "parts"),
    [
        pytest.param(False, {"first"}, id="before-first", marks=pytest.mark.long),
        pytest.param(True, {"second"}, id="after-second"),
        pytest.param(False, {"first", "second"}, id="before-each", marks=pytest.mark.long),
        pytest.param(True, {"first", "second"}, id="after-each", marks=pytest.mark.long),
    ],
)
async def test_a_death_at_any_insert_loses_and_doubles_nothing(
    broker: str, topics: Topics, chdb_store: Store, open_database: Callable[[], Store], after: bool, parts: set[str]
) -> None:
    """`parts`: those of the log during which ingestors die."""
    first = [RunStarted(**PATH._asdict(), session="s", sequence=0, timestamp=500), *a_log(1)]
    # The second part begins with records of the first, cut otherwise, as a sender does that died itself.
    second = [a_batch(2, 4), *a_log(10), *a_log(19)]
    for name, part in (("first", first), ("second", second)):
        await send(broker, topics.events, [encode(event) for event in part])
        if name in parts:
            assert await die_at_every_insert(broker, topics, chdb_store, after=after) >= 7
        else:
            assert await ingest_until_settled(make_ingestor_settings(broker, topics), chdb_store)
    reference = open_database()
    fresh = make_ingestor_settings(broker, topics, ingestor_group=f"reference-{topics.events}")
    async with ingesting(fresh, reference):
        await until_committed(fresh)
    assert shown(chdb_store) == shown(reference)
    assert len(numbers(chdb_store)["a"]) == 3 * 5, "four rows of each batch, and the row that the conflict made"


async def test_events_wait_for_clickhouse_and_the_group_is_kept(
    broker: str, topics: Topics, stack: Stack, chdb_store: Store
) -> None:
    folder = Path(stack.dsn("chdb").removeprefix("chdb://"))
    server = ClickHouseHttp(folder, "127.0.0.1", 0, "tests", "tests")
    server.start()
    store = connect(f"http://tests:tests@127.0.0.1:{server.port}", chdb_store.database)
    settings = make_ingestor_settings(broker, topics, ingestor_retry_seconds=0.2, ingestor_buffer_bytes=2 * 8 * 2**20)
    async with ingesting(settings, store) as ingestor:
        await send(broker, topics.events, [encode(a_batch(0, 3))])
        await until_committed(settings)
        server.stop()
        await send(broker, topics.events, [encode(a_batch(3, 3)), encode(a_batch(6, 3))])
        await until(lambda: ingestor.status().lag_events, 2)
        again = ClickHouseHttp(folder, "127.0.0.1", server.port, "tests", "tests")
        again.start()
        await until(counted(chdb_store, "numbers"), 18)
        await until(lambda: ingestor.status().lag_events, 0)
    again.stop()
    store.close()


async def test_memory_is_bounded_while_clickhouse_is_away(
    broker: str, topics: Topics, stack: Stack, chdb_store: Store
) -> None:
    # Large texts fill memory at little cost to the engine.
    logged = [LogEvent(**PATH._asdict(), data={"text": f"{number:6}" * 100_000}) for number in range(64)]
    size = len(encode(logged[0]))
    limit = 2 * MAX_EVENT_BYTES
    proxy = Proxy()
    proxy.target = int(stack.dsn("http").rpartition(":")[2])
    dsn = stack.dsn("http").replace(f":{proxy.target}", f":{proxy.port}")
    store = connect(dsn, chdb_store.database)
    settings = make_ingestor_settings(broker, topics, ingestor_retry_seconds=0.2, ingestor_buffer_bytes=limit)
    async with ingesting(settings, store) as ingestor:
        await until(lambda: ingestor.status().partitions, 2)
        server, proxy.target = proxy.target, 9
        proxy.reset()
        await send(broker, topics.events, [encode(event) for event in logged])
        await until(lambda: ingestor.status().paused, 1)
        most = 0
        for _ in range(20):
            most = max(most, ingestor.status().buffered_bytes)
            await asyncio.sleep(0.05)
        assert limit <= most < limit + 2 * MAX_EVENT_BYTES + size, "the limit, and what one read may bring beyond it"
        assert most < len(logged) * size
        assert ingestor.status().partitions == 2, "a paused member stays in its group"
        proxy.target = server
        await until(counted(chdb_store, "strings"), len(logged))
        await until(lambda: (ingestor.status().paused, ingestor.status().lag_events), (0, 0))
    store.close()
    proxy.stop()


async def test_a_broker_that_comes_late_is_waited_for(broker: str, topics: Topics, chdb_store: Store) -> None:
    proxy = Proxy()
    settings = make_ingestor_settings(f"127.0.0.1:{proxy.port}", topics)
    stopped = Ingestor(settings, chdb_store)
    running = asyncio.create_task(stopped.run())
    await asyncio.sleep(0.5)
    await asyncio.wait_for(stopped.stop(), 5)
    await running
    async with ingesting(settings, chdb_store):
        await send(broker, topics.events, [encode(a_batch(0, 3))])
        await asyncio.sleep(0.5)
        proxy.target = int(broker.rpartition(":")[2])
        await until(counted(chdb_store, "numbers"), 6)
    proxy.stop()


async def test_a_refused_insert_is_loud_and_commits_nothing(broker: str, topics: Topics, chdb_store: Store) -> None:
    chdb_store.command("RENAME TABLE {db}.points_number TO {db}.away")
    await send(broker, topics.events, [encode(a_batch(0, 3))])
    with pytest.raises(StoreRejectedError, match="points_number"):
        await asyncio.wait_for(Ingestor(make_ingestor_settings(broker, topics), chdb_store).run(), 30)
    chdb_store.command("RENAME TABLE {db}.away TO {db}.points_number")
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store):
        await until(counted(chdb_store, "numbers"), 6)


async def test_ingestors_join_and_leave_under_load(broker: str, topics: Topics, chdb_store: Store) -> None:
    runs = [RunPath("me", "p", f"run-{number}") for number in range(6)]
    settings = make_ingestor_settings(broker, topics)

    async def send_parts(parts: Sequence[int]) -> None:
        for part in parts:
            for run in runs:
                batch = a_batch(part * 20, 20).model_copy(update=run._asdict())
                await send(broker, topics.events, [encode(batch)], run.kafka_key)

    async with ingesting(settings, chdb_store) as first:
        await send_parts(range(3))
        async with ingesting(settings, chdb_store) as second:
            sending = asyncio.create_task(send_parts(range(3, 12)))
            await until(lambda: (first.status().partitions, second.status().partitions), (1, 1))
            await sending
        await send_parts(range(12, 14))
        await until(counted(chdb_store, "numbers"), 6 * 14 * 20 * 2)
    assert chdb_store.query("SELECT count() AS n FROM {db}.points_number").to_pylist() == [{"n": 6 * 14 * 20 * 2}]
    rows = chdb_store.query("SELECT DISTINCT last_step, log_rows, points, step_conflicts FROM {db}.runs").to_pylist()
    assert rows == [{"last_step": 279, "log_rows": 280, "points": 560, "step_conflicts": 0}]
