"""A test's own ingestor between the broker and a store, and queries of the stored rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError

from stepwell_ingestor.rebuild.log_state import read_log_state
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.servers.stack import Topics

_DEADLINE_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 0.25
_POLL_RATIO = 0.1
PATH = RunPath("me", "my project", "it's 🚀")


def make_ingestor_settings(broker: str, topics: Topics, **changes: Any) -> IngestorSettings:
    """Return settings for a test's own topics and group."""
    fields: dict[str, Any] = {
        "kafka_bootstrap_servers": broker,
        "events_topic": topics.events,
        "deadletters_topic": topics.deadletters,
        "ingestor_group": f"group-{topics.events}",
        "ingestor_flush_seconds": 0.05,
    }
    return IngestorSettings(**fields | changes)


@asynccontextmanager
async def ingesting(
    settings: IngestorSettings, store: Store, media: MediaStore | None = None
) -> AsyncIterator[Ingestor]:
    """Run an ingestor for the block."""
    ingestor = Ingestor(settings, store, media=media)
    task = asyncio.create_task(ingestor.run())
    task.add_done_callback(lambda done: done.exception() and pytest.fail(repr(done.exception())))
    try:
        yield ingestor
    finally:
        await ingestor.stop()
        await task


def ingest_points(settings: IngestorSettings, store: Store, points: int) -> None:
    """Run an ingestor until a number of points is stored."""

    async def run() -> None:
        async with ingesting(settings, store):
            await until(counted(store, "numbers"), points)

    asyncio.run(run())


async def send(broker: str, topic: str, values: list[bytes], key: bytes | None = PATH.kafka_key) -> None:
    """Send message values under one key, in order."""
    async with AIOKafkaProducer(bootstrap_servers=broker, max_request_size=2**24) as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=key)


async def until(ask: Callable[[], Any], wanted: Any, seconds: float = _DEADLINE_SECONDS) -> None:
    """Wait until a function returns the expected value."""
    began = time.monotonic()
    while (answer := await asyncio.to_thread(ask)) != wanted:
        waited = time.monotonic() - began
        assert waited < seconds, f"{answer!r} never became {wanted!r}"
        await asyncio.sleep(poll_seconds(waited))


def poll_seconds(waited: float) -> float:
    """Return the pause after a look, which costs a statement or a request: the longer the wait was, the longer."""
    return min(max(_POLL_SECONDS, _POLL_RATIO * waited), _LONGEST_POLL_SECONDS)


async def until_committed(settings: IngestorSettings) -> None:
    """Wait until the topic has events, and the group has committed all of them."""
    await until(lambda: asyncio.run(_is_committed(settings)), True)


async def _is_committed(settings: IngestorSettings) -> bool:
    try:
        state = await read_log_state(settings)
    except GroupCoordinatorNotAvailableError:
        # The group is new.
        return False
    # A busy broker describes a new topic without partitions for a moment.
    filled = [log for log in state.partitions if log.end]
    return bool(filled) and all(log.committed == log.end for log in filled)


def counted(store: Store, view: str) -> Callable[[], int]:
    """Return a function that counts the rows of a view."""
    return lambda: int(store.query(f"SELECT count() AS n FROM {{db}}.{view}").column("n")[0].as_py())


def numbers(store: Store) -> dict[str, list[tuple[int, float]]]:
    """Return the stored numbers by key."""
    rows = store.query("SELECT key, step, value FROM {db}.numbers ORDER BY key, step").to_pylist()
    by_key: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append((row["step"], row["value"]))
    return by_key


def a_batch(sequence: int, rows: int, **changes: Any) -> LogBatch:
    """Return a batch of two numbers in each row: their sequence number, and its tenth."""
    values = np.arange(sequence, sequence + rows, dtype=float)
    fields: dict[str, Any] = {
        **PATH._asdict(),
        "session": "s",
        "sequence": sequence,
        "rows": rows,
        "timestamps": np.full(rows, 1_700_000_000_000_000, "<i8").tobytes(),
        "blocks": [Block(kind=Kind.NUMBER, keys=["a", "b"], packed=np.concatenate([values, values / 10]).tobytes())],
    }
    return LogBatch(**fields | changes)


async def read_all(broker: str, topic: str, count: int) -> list[Any]:
    """Return the first `count` messages of a topic's only partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker)
    async with consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [await asyncio.wait_for(consumer.getone(), _DEADLINE_SECONDS) for _ in range(count)]
