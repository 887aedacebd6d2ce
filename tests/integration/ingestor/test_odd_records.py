"""Records that no event of ours looks like, and a good event after each: a partition continues, and none vanishes."""

from __future__ import annotations

import asyncio
import os

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import PolicyViolationError
from prometheus_client import REGISTRY

from stepwell_deploy.cli.alarms import ringing
from stepwell_deploy.deadletters.models import Letter
from stepwell_deploy.deadletters.topic import DeadLetters
from stepwell_ingestor.kafka.deadletter_topic import create_deadletters_topic
from stepwell_ingestor.settings import IngestorSettings
from stepwell_ingestor.verify.log_reader import RunLog
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.odd_records import batch, bomb, odd_batches, produce, record
from support.servers.ingest import PATH, ingesting, make_ingestor_settings, send, until
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio

GOOD = RunPath("me", "my project", "good")
_PATIENCE_SECONDS = 60.0
AN_ODD_EVENT = encode(LogEvent(**PATH._asdict(), data={"odd": 1.0}))


def a_good_event(step: int) -> bytes:
    """Return an event of the run that must be whole."""
    return encode(LogEvent(**GOOD._asdict(), data={"good": float(step)}, step=step))


def stored(store: Store, key: str) -> int:
    """Return how many values of a key are stored."""
    sql = "SELECT count() AS n FROM {db}.numbers WHERE key = {key:String}"
    return int(store.query(sql, {"key": key})["n"][0].as_py())


def letters_of(settings: IngestorSettings) -> list[Letter]:
    """Return all dead letters."""

    async def read() -> list[Letter]:
        async with DeadLetters.open(settings) as opened:
            return [letter async for letter in opened.select()]

    return asyncio.run(read())


def named(letters: list[Letter]) -> set[int]:
    """Return the offsets that letters are about."""
    found: set[int] = set()
    for letter in letters:
        first = int(letter.headers["offset"])
        found.update(range(first, int(letter.headers.get("last_offset", first)) + 1))
    return found


def alarms() -> list[str]:
    """Return the alarms that ring in this process."""
    samples = {sample.name: sample.value for metric in REGISTRY.collect() for sample in metric.samples}
    return [alarm.name for alarm in ringing(samples)]


async def test_odd_records_are_stored_or_dead_letters_and_good_events_follow(
    broker: str, topics: Topics, chdb_store: Store
) -> None:
    settings = make_ingestor_settings(broker, topics)
    odd = list(odd_batches(AN_ODD_EVENT))
    sent = [data for step, one in enumerate(odd) for data in (one.data, batch([record(a_good_event(step))]))]
    records = sum(one.records for one in odd)
    async with ingesting(settings, chdb_store):
        assert await produce(broker, topics.events, sent) == [""] * len(sent)
        await until(lambda: stored(chdb_store, "good"), len(odd), _PATIENCE_SECONDS)
        await until(lambda: len(named(letters_of(settings))) + stored(chdb_store, "odd"), records, _PATIENCE_SECONDS)
    letters = await asyncio.to_thread(letters_of, settings)
    assert all(letter.reason and letter.headers["detail"] for letter in letters)
    assert {letter.reason for letter in letters} == {"unreadable", "unknown_framing", "oversized"}
    log = RunLog(settings, PATH)
    await log.open()
    end = (await log.extent(0)).end
    pieces = [piece async for piece in log.read(0, 0, end)]
    await log.close()
    assert sum(len(piece.received) for piece in pieces) == stored(chdb_store, "odd")


async def test_a_bomb_of_400_mib_takes_no_memory(broker: str, topics: Topics, chdb_store: Store) -> None:
    process = psutil.Process(os.getpid())
    sent = [bomb(1, 400 * MIB), batch([record(a_good_event(0))])]
    peak = before = process.memory_info().rss

    def good() -> int:
        nonlocal peak
        peak = max(peak, process.memory_info().rss)
        return stored(chdb_store, "good")

    async with ingesting(make_ingestor_settings(broker, topics), chdb_store):
        await produce(broker, topics.events, sent)
        await until(good, 1, _PATIENCE_SECONDS)
    print(f"{(peak - before) / MIB:.0f} MiB more")
    assert peak - before < 200 * MIB


async def test_an_open_transaction_of_a_stranger_is_not_waited_for(
    broker: str, topics: Topics, chdb_store: Store
) -> None:
    stranger = AIOKafkaProducer(bootstrap_servers=broker, transactional_id=f"stranger-{topics.events}")
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store) as ingestor, stranger:
        await stranger.begin_transaction()
        await stranger.send_and_wait(topics.events, a_good_event(0), partition=0)
        await send(broker, topics.events, [a_good_event(1)], None)
        await until(lambda: stored(chdb_store, "good"), 2)
        await stranger.abort_transaction()
        await until(lambda: ingestor.status().lag_events, 0)


async def test_a_missing_topic_of_dead_letters_is_created(broker: str, topics: Topics, chdb_store: Store) -> None:
    settings = make_ingestor_settings(broker, topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.delete_topics([topics.deadletters])
    async with ingesting(settings, chdb_store):
        await send(broker, topics.events, [b"poison", a_good_event(0)])
        await until(lambda: stored(chdb_store, "good"), 1)
        await until(lambda: len(letters_of(settings)), 1)
    await admin.close()


async def test_a_topic_of_dead_letters_that_cannot_be_had_rings_and_stops_nothing(
    broker: str, topics: Topics, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_ingestor_settings(broker, topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.delete_topics([topics.deadletters])

    async def refuse(*_: object) -> None:
        raise PolicyViolationError("no topics here")

    monkeypatch.setattr("stepwell_ingestor.kafka.client.create_deadletters_topic", refuse)
    async with ingesting(settings, chdb_store):
        await send(broker, topics.events, [b"poison", a_good_event(0)])
        await until(lambda: stored(chdb_store, "good"), 1)
        await until(alarms, ["deadletter_topic"])
        await create_deadletters_topic(admin, topics.deadletters, topics.events)
        await until(alarms, [])
        await send(broker, topics.events, [b"poison"])
        await until(lambda: len(letters_of(settings)), 1)
    await admin.close()
