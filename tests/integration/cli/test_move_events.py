"""`stepwell move-events`: what was written after partitions were added reaches the tables, in order."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.new_partitions import NewPartitions
from typer.testing import CliRunner, Result

from stepwell_deploy.cli.app import app
from stepwell_deploy.errors import MoveError
from stepwell_ingestor.positions.homes import home_partition
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from support.servers.ingest import PATH, a_batch, ingesting, make_ingestor_settings, numbers, send, until
from support.servers.sdk import serving
from support.servers.stack import Topics

_DEADLINE_SECONDS = 60.0
_OLD, _NEW = 2, 5
# Milliseconds, within the retention of a topic with Kafka's defaults.
_LATER = int(time.time() * 1_000)
_EARLIER = _LATER - 3_600_000


Move = Callable[[str], Result]


@pytest.fixture
def move(broker: str, topics: Topics, chdb_store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    """A function that runs the command with the test's broker, group and service."""
    monkeypatch.setenv("STEPWELL_KAFKA_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("STEPWELL_EVENTS_TOPIC", topics.events)
    monkeypatch.setenv("STEPWELL_INGESTOR_GROUP", make_ingestor_settings(broker, topics).ingestor_group)
    with serving(chdb_store) as url:
        monkeypatch.setenv("STEPWELL_BASE_URL", url)
        yield lambda target: CliRunner().invoke(app, ["move-events", target, "--json"])


async def change(broker: str, topics: Topics, target: str) -> None:
    """Add partitions to the topic, and create another one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.create_partitions({topics.events: NewPartitions(_NEW)})
        await admin.create_topics([NewTopic(target, _NEW, 1)])
    finally:
        await admin.close()


async def write(broker: str, topics: Topics, places: list[tuple[int, int, int]]) -> None:
    """Send one row of the session to each place: (partition, number of the row, time of the record)."""
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        for number, row, at in places:
            place = TopicPartition(topics.events, number)
            await producer.send_and_wait(
                place.topic, encode(a_batch(row, 1)), key=PATH.kafka_key, partition=place.partition, timestamp_ms=at
            )


async def ingest(broker: str, topics: Topics, store: Store, rows: int) -> None:
    """Run an ingestor until there are so many rows."""
    async with ingesting(make_ingestor_settings(broker, topics), store):
        await until(lambda: len(numbers(store).get("a", [])), rows, _DEADLINE_SECONDS)


def test_events_after_the_addition_are_stored_in_the_order_of_their_sessions(
    broker: str, topics: Topics, chdb_store: Store, move: Move
) -> None:
    target = Topics(f"{topics.events}-moved", topics.deadletters)
    asyncio.run(send(broker, topics.events, [encode(a_batch(0, 4))]))
    asyncio.run(ingest(broker, topics, chdb_store, 4))
    assert isinstance(move(target.events).exception, MoveError), "no partitions were added"
    asyncio.run(change(broker, topics, target.events))
    home = home_partition(PATH.kafka_key, _OLD)
    # The clock of the producer went back when it had moved.
    asyncio.run(write(broker, topics, [(home, 4, _LATER), (home, 5, _LATER), (3, 6, _EARLIER), (3, 7, _EARLIER)]))
    for impossible in (topics.events, f"{topics.events}-missing"):
        assert isinstance(move(impossible).exception, MoveError)
    assert json.loads(move(target.events).stdout.splitlines()[-1]) == {"copied": 4, "unreadable": 0}
    assert isinstance(move(target.events).exception, MoveError), "the new topic is not empty any more"
    asyncio.run(ingest(broker, target, chdb_store, 8))
    assert numbers(chdb_store)["a"] == [(step, float(step)) for step in range(8)]
    missing = "SELECT max(totals).missing AS missing, max(next_sequence) AS n FROM {db}.session_activity"
    assert chdb_store.query(missing).to_pylist() == [{"missing": 0, "n": 8}]
