"""Ingestion after Kafka's log, the group's offsets or the tables were replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.new_partitions import NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from structlog.testing import capture_logs

from stepwell_ingestor.kafka.client import AiokafkaClients, Kafka
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset, fetch_committed
from stepwell_ingestor.kafka.log_metadata import LogIdentity, describe_log
from stepwell_ingestor.messages import NO_LEADER_EPOCH
from stepwell_ingestor.positions.models import VoidRange
from stepwell_ingestor.positions.stored import read_positions
from stepwell_ingestor.service import Ingestor
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Block, LogEvent
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.kinds import Kind
from support.servers.ingest import PATH, a_batch, ingesting, make_ingestor_settings, send, until
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio

_DEADLINE_SECONDS = 60.0


@pytest.fixture
async def admin(broker: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client of the broker."""
    client = AIOKafkaAdminClient(bootstrap_servers=broker)
    await client.start()
    yield client
    await client.close()


def rows_of(first: int, count: int, session: str = "s") -> bytes:
    """Return an event of some rows of a session, whose key `a` has the row's number as its value."""
    return encode(a_batch(first, count, session=session))


def a_value(step: int, value: float) -> bytes:
    """Return an event of a session that counts its own steps: one value of key `a`."""
    block = Block(kind=Kind.NUMBER, keys=["a"], packed=np.array([value]).tobytes())
    return encode(a_batch(0, 1, session="t", current_step=step, blocks=[block]))


def stored(store: Store) -> list[tuple[int, float]]:
    """Return the steps and values of key `a`."""
    rows = store.query("SELECT step, value FROM {db}.numbers WHERE key = 'a' ORDER BY step").to_pylist()
    return [(row["step"], row["value"]) for row in rows]


def stepwise(*values: range) -> list[tuple[int, float]]:
    """Return what is stored if these values are logged one after the other."""
    return [(step, float(value)) for step, value in enumerate(value for part in values for value in part)]


def partition_of(store: Store) -> TopicPartition:
    """Return the partition that the test's run is in."""
    positions = read_positions(store).positions
    (partition,) = [place for place, position in positions.items() if position.holds_rows]
    return partition


async def settled(ingestor: Ingestor) -> None:
    """Wait until an ingestor has its partitions and no lag."""

    def is_settled() -> bool:
        status = ingestor.status()
        owned = ingestor._owned.partitions
        # The lag counts partitions whose end is known, which is after the first answer to a fetch.
        known = all(part.ready and ingestor._kafka.highwater(place) is not None for place, part in owned.items())
        return status.partitions == 2 and known and status.lag_events == 0

    await until(is_settled, True, _DEADLINE_SECONDS)


async def ingest(broker: str, topics: Topics, store: Store) -> None:
    """Run an ingestor until it has stored everything."""
    async with ingesting(make_ingestor_settings(broker, topics), store) as ingestor:
        await settled(ingestor)


async def recreate(admin: AIOKafkaAdminClient, topic: str, partitions: int = 2) -> None:
    """Delete a topic, create it again, and return when the broker describes the new one."""
    earlier = await describe_log(admin, topic)
    await admin.delete_topics([topic])
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while (await admin.create_topics([NewTopic(topic, partitions, 1)])).topic_errors[0][1]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        while not await _is_replaced(admin, topic, earlier):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _is_replaced(admin: AIOKafkaAdminClient, topic: str, earlier: LogIdentity) -> bool:
    try:
        return (await describe_log(admin, topic)).topic_id != earlier.topic_id
    except UnknownTopicOrPartitionError:
        return False
        while not await exists(admin, topic):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def exists(admin: AIOKafkaAdminClient, topic: str) -> bool:
    """Return True if the broker describes a topic."""
    try:
        await describe_log(admin, topic)
    except KafkaError:
        return False
    return True


async def commit_elsewhere(broker: str, topics: Topics, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
    """Set the offsets of the ingestors' group while it is empty, as Kafka's tools do."""
    group = make_ingestor_settings(broker, topics).ingestor_group
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, group_id=group, enable_auto_commit=False)
    async with consumer:
        consumer.assign(list(offsets))
        await consumer.commit({place: OffsetAndMetadata(*offset) for place, offset in offsets.items()})


async def commits(broker: str, topics: Topics) -> Mapping[TopicPartition, CommittedOffset]:
    """Return what the ingestors' group has committed."""
    client = AIOKafkaAdminClient(bootstrap_servers=broker)
    await client.start()
    try:
        group = make_ingestor_settings(broker, topics).ingestor_group
        return await fetch_committed(client, group, [TopicPartition(topics.events, number) for number in range(2)])
    finally:
        await client.close()


async def test_a_topic_that_was_created_again_is_read_under_old_tables(
    broker: str, topics: Topics, chdb_store: Store, admin: AIOKafkaAdminClient
) -> None:
    await send(broker, topics.events, [rows_of(number * 4, 4) for number in range(5)])
    await ingest(broker, topics, chdb_store)
    await recreate(admin, topics.events)
    # The run continues, and values of a second session are later than those of the same steps before.
    later = a_value(3, -1.0)
    await send(broker, topics.events, [rows_of(20, 6), later])
    await ingest(broker, topics, chdb_store)
    expected = stepwise(range(26))
    expected[3] = (3, -1.0)
    assert stored(chdb_store) == expected
    (row,) = chdb_store.query("SELECT log_rows FROM {db}.runs").to_pylist()
    assert row == {"log_rows": 27}
    sequences = (
        "SELECT max(next_sequence) AS n, max(totals).missing AS missing FROM {db}.session_activity WHERE session = 's'"
    )
    assert chdb_store.query(sequences).to_pylist() == [{"n": 26, "missing": 0}]
    position = read_positions(chdb_store).positions[partition_of(chdb_store)]
    assert (position.reason, position.epoch > 0, position.end) == ("log_replaced", True, 2)


async def test_a_topic_that_is_created_again_while_an_ingestor_runs_is_read(
    broker: str, topics: Topics, chdb_store: Store, admin: AIOKafkaAdminClient
) -> None:
    await send(broker, topics.events, [rows_of(0, 2), rows_of(2, 2)])
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store) as ingestor:
        await settled(ingestor)
        await recreate(admin, topics.events)
        # As many records as before, and more: an ingestor that notices nothing continues after the first ones.
        await send(broker, topics.events, [rows_of(number, 1) for number in range(4, 9)])
        await until(lambda: stored(chdb_store), stepwise(range(9)), _DEADLINE_SECONDS)


async def test_a_topic_with_other_partitions_may_follow(
    broker: str, topics: Topics, chdb_store: Store, admin: AIOKafkaAdminClient
) -> None:
    await send(broker, topics.events, [rows_of(0, 3)])
    await ingest(broker, topics, chdb_store)
    following = Topics(f"{topics.events}-2", topics.deadletters)
    await admin.create_topics([NewTopic(following.events, 5, 1)])
    await send(broker, following.events, [rows_of(3, 2), a_value(1, 9.0)])
    async with ingesting(make_ingestor_settings(broker, following), chdb_store):
        await until(lambda: stored(chdb_store), [(0, 0.0), (1, 9.0), (2, 2.0), (3, 3.0), (4, 4.0)], _DEADLINE_SECONDS)


_MANY = 5


async def test_what_is_written_to_added_partitions_is_not_stored_out_of_order(
    broker: str, topics: Topics, chdb_store: Store, admin: AIOKafkaAdminClient
) -> None:
    """The run moves to the other one of the old partitions, or to a new one, while an ingestor runs."""
    settings = make_ingestor_settings(broker, topics)
    await send(broker, topics.events, [rows_of(0, 3)])
    with capture_logs() as logs:
        async with ingesting(settings, chdb_store) as ingestor:
            await settled(ingestor)
            await admin.create_partitions({topics.events: NewPartitions(_MANY)})
            for number in range(_MANY):
                # A producer's partition follows from the number of partitions that it knows.
                await send_to(broker, TopicPartition(topics.events, number), rows_of(4, 2))
            await until(lambda: any(line["event"] == "partitions_added" for line in logs), True, _DEADLINE_SECONDS)
        # Held again by the next one, which reads nothing.
        async with ingesting(settings, chdb_store) as ingestor:
            await until(lambda: sum(line["event"] == "partitions_added" for line in logs), 2, _DEADLINE_SECONDS)
            assert not any(part.ready for part in ingestor._owned.partitions.values())
    home = partition_of(chdb_store).partition
    assert stored(chdb_store)[:3] == stepwise(range(3))
    positions = read_positions(chdb_store).positions
    assert all(place.partition == home for place, position in positions.items() if position.holds_rows)


async def send_to(broker: str, place: TopicPartition, value: bytes) -> None:
    """Send an event of the run to a partition."""
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        await producer.send_and_wait(place.topic, value, key=PATH.kafka_key, partition=place.partition)


@pytest.mark.parametrize("offset", [None, 0, 3, 9], ids=["expired", "reset", "behind", "ahead"])
async def test_the_group_s_offset_does_not_matter(
    broker: str, topics: Topics, chdb_store: Store, offset: int | None
) -> None:
    # Without sessions, so that an event that is read twice counts twice.
    events = [encode(LogEvent(**PATH._asdict(), data={"a": float(number)}, timestamp=1)) for number in range(12)]
    await send(broker, topics.events, events[:6])
    await ingest(broker, topics, chdb_store)
    await send(broker, topics.events, events[6:])
    partition = partition_of(chdb_store)
    # A group without offsets is as one whose offsets have expired.
    changes = {"ingestor_group": "another"} if offset is None else {}
    if offset is not None:
        await commit_elsewhere(broker, topics, {partition: (offset, "")})
    async with ingesting(make_ingestor_settings(broker, topics, **changes), chdb_store) as ingestor:
        await settled(ingestor)
    assert stored(chdb_store) == stepwise(range(12))
    assert chdb_store.query("SELECT log_rows FROM {db}.runs").to_pylist() == [{"log_rows": 12}]
    assert offset is None or (await commits(broker, topics))[partition].offset == 12


@pytest.mark.parametrize("offset", [3, 4, 6], ids=["behind", "at the stored end", "ahead"])
async def test_the_states_of_a_flush_whose_plan_went_with_the_group_s_offset_do_not_hold(
    broker: str, topics: Topics, chdb_store: Store, offset: int
) -> None:
    events = [encode(LogEvent(**PATH._asdict(), data={"a": float(number)}, timestamp=1)) for number in range(12)]
    for part in (events[:4], events[4:6]):
        await send(broker, topics.events, part)
        await ingest(broker, topics, chdb_store)
    partition = partition_of(chdb_store)
    # As after a kill between the tables and the position of the second flush.
    chdb_store.command(
        "ALTER TABLE {db}.log_positions UPDATE end_offset = 4, boundaries = arrayFilter(b -> b.1 <= 4, boundaries)"
        f" WHERE partition = {partition.partition} SETTINGS mutations_sync = 1"
    )
    await commit_elsewhere(broker, topics, {partition: (offset, "")})
    await send(broker, topics.events, events[6:])
    await ingest(broker, topics, chdb_store)
    position = read_positions(chdb_store).positions[partition]
    assert (position.reason, position.voided) == ("plan_lost", (VoidRange(4, 6),))
    assert stored(chdb_store) == stepwise(range(12))
    assert chdb_store.query("SELECT log_rows FROM {db}.runs").to_pylist() == [{"log_rows": 12}]


async def test_tables_of_an_earlier_version_are_continued_at_the_group_s_offset(
    broker: str, topics: Topics, chdb_store: Store
) -> None:
    events = [encode(LogEvent(**PATH._asdict(), data={"a": float(number)}, timestamp=1)) for number in range(8)]
    await send(broker, topics.events, events[:5])
    await ingest(broker, topics, chdb_store)
    chdb_store.command("DROP TABLE {db}.log_positions SYNC")
    chdb_store.command("DELETE FROM {db}.schema_migrations WHERE number = 11")
    migrate(chdb_store)
    assert read_positions(chdb_store).adopts
    await send(broker, topics.events, events[5:])
    await ingest(broker, topics, chdb_store)
    assert stored(chdb_store) == stepwise(range(8))
    assert read_positions(chdb_store).positions[partition_of(chdb_store)].reason == "adopted"


async def test_tables_that_were_emptied_are_filled_from_the_log(broker: str, topics: Topics, chdb_store: Store) -> None:
    await send(broker, topics.events, [rows_of(0, 5), rows_of(5, 5)])
    await ingest(broker, topics, chdb_store)
    chdb_store.command("DROP DATABASE {db} SYNC")
    migrate(chdb_store)
    await ingest(broker, topics, chdb_store)
    assert stored(chdb_store) == stepwise(range(10))
    assert chdb_store.query("SELECT log_rows FROM {db}.runs").to_pylist() == [{"log_rows": 10}]


async def test_tables_that_are_emptied_while_an_ingestor_runs_are_filled(
    broker: str, topics: Topics, chdb_store: Store
) -> None:
    await send(broker, topics.events, [rows_of(0, 5)])
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store) as ingestor:
        await settled(ingestor)
        for row in chdb_store.query("SELECT name FROM system.tables WHERE database = currentDatabase()").to_pylist():
            if row["name"] in TABLES:
                chdb_store.command(f"TRUNCATE TABLE {{db}}.{row['name']}")
        await until(lambda: stored(chdb_store), stepwise(range(5)), _DEADLINE_SECONDS)


TABLES = (
    "points_number", "points_string", "points_bool", "points_other", "points_media", "rollups", "series",
    "run_documents", "run_activity", "session_activity", "step_conflict_log", "key_spellings", "media_files",
    "run_states", "run_values", "run_texts", "log_positions",
)  # fmt: skip


@pytest.fixture
def backup(chdb_store: Store) -> tuple[Callable[[], None], Callable[[], None]]:
    """Functions that copy all tables, and put the copy back."""
    names = [name for name in TABLES if name not in {"run_values", "run_texts"}]

    def save() -> None:
        for name in names:
            chdb_store.command(f"CREATE TABLE {{db}}.saved_{name} AS {{db}}.{name}")
            chdb_store.command(f"INSERT INTO {{db}}.saved_{name} SELECT * FROM {{db}}.{name}")

    def restore() -> None:
        for name in names:
            chdb_store.command(f"TRUNCATE TABLE {{db}}.{name}")
        for name in ("run_values", "run_texts"):
            chdb_store.command(f"TRUNCATE TABLE {{db}}.{name}")
        for name in names:
            chdb_store.command(f"INSERT INTO {{db}}.{name} SELECT * FROM {{db}}.saved_{name}")

    return save, restore


async def test_an_earlier_copy_of_the_tables_catches_up(
    broker: str, topics: Topics, chdb_store: Store, backup: Any
) -> None:
    save, restore = backup
    events = [encode(LogEvent(**PATH._asdict(), data={"a": float(number)}, timestamp=1)) for number in range(12)]
    await send(broker, topics.events, events[:4])
    await ingest(broker, topics, chdb_store)
    save()
    await send(broker, topics.events, events[4:9])
    await ingest(broker, topics, chdb_store)
    restore()
    await send(broker, topics.events, events[9:])
    await ingest(broker, topics, chdb_store)
    assert stored(chdb_store) == stepwise(range(12))
    assert chdb_store.query("SELECT log_rows FROM {db}.runs").to_pylist() == [{"log_rows": 12}]


class Dying(AiokafkaClients):
    """Ends the ingestor after the plan of a flush was committed."""

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit; die after a plan."""
        await super().commit(partition, offset, plan)
        if plan:
            raise DeathError


class DeathError(Exception):
    """Stands for the end of the process."""


async def leave_a_plan(broker: str, topics: Topics, store: Store) -> None:
    """Commit a plan for everything in the log, and store nothing of it."""
    settings = make_ingestor_settings(broker, topics)
    kafka: Kafka = Dying(settings)
    with pytest.raises(DeathError):
        await asyncio.wait_for(Ingestor(settings, store, kafka).run(), _DEADLINE_SECONDS)


async def test_new_events_at_the_offsets_of_a_lost_plan_are_stored(
    broker: str, topics: Topics, chdb_store: Store, admin: AIOKafkaAdminClient
) -> None:
    await send(broker, topics.events, [rows_of(0, 10), rows_of(10, 10)])
    await leave_a_plan(broker, topics, chdb_store)
    partition, plan = await found_plan(broker, topics)
    await recreate(admin, topics.events)
    # The first event is as before, and the plan is put back, as after a power cut that cost the log its end.
    await send(broker, topics.events, [rows_of(0, 10), rows_of(10, 7)])
    await commit_elsewhere(broker, topics, {partition: (0, plan)})
    identity = "ALTER TABLE {db}.log_positions UPDATE topic_id = '' WHERE 1 SETTINGS mutations_sync = 1"
    chdb_store.command(identity)
    await ingest(broker, topics, chdb_store)
    assert stored(chdb_store) == stepwise(range(17))
    assert chdb_store.query("SELECT log_rows FROM {db}.runs").to_pylist() == [{"log_rows": 17}]
    position = read_positions(chdb_store).positions[partition]
    assert (position.reason, [void.offset_from for void in position.voided]) == ("plan_void", [0])


async def found_plan(broker: str, topics: Topics) -> tuple[TopicPartition, str]:
    """Return the partition with a plan, and the plan."""
    found = await commits(broker, topics)
    ((partition, offset),) = [(partition, offset) for partition, offset in found.items() if offset.plan]
    return partition, offset.plan


@pytest.mark.parametrize("removed", [1, 2], ids=["a part", "all"])
async def test_retention_of_a_plan_s_first_record_stops_nothing(
    broker: str, topics: Topics, chdb_store: Store, admin: AIOKafkaAdminClient, removed: int
) -> None:
    await send(broker, topics.events, [rows_of(0, 10), rows_of(10, 10)])
    await leave_a_plan(broker, topics, chdb_store)
    partition, _ = await found_plan(broker, topics)
    await admin.delete_records({partition: RecordsToDelete(before_offset=removed)})
    await send(broker, topics.events, [rows_of(20, 5)])
    await ingest(broker, topics, chdb_store)
    values = [value for _, value in stored(chdb_store)]
    assert values == [float(value) for value in range(10 * removed, 25)]
    assert read_positions(chdb_store).positions[partition].missing == removed
    sessions = "SELECT max(totals).log_rows AS log_rows, max(totals).missing AS missing FROM {db}.session_activity"
    assert chdb_store.query(sessions).to_pylist() == [{"log_rows": 25 - 10 * removed, "missing": 10 * removed}]


async def test_the_identity_of_a_log_is_that_of_its_topic(topics: Topics, admin: AIOKafkaAdminClient) -> None:
    before = await describe_log(admin, topics.events)
    await recreate(admin, topics.events, 3)
    after = await describe_log(admin, topics.events)
    with pytest.raises(UnknownTopicOrPartitionError):
        await describe_log(admin, "no-topic")
    assert "no-topic" not in await admin.list_topics()
    assert all((before.topic_id, after.topic_id, before.cluster_id))
    assert (before.topic_id != after.topic_id, before.partitions, after.partitions) == (True, 2, 3)
    assert before.cluster_id == after.cluster_id


@pytest.mark.parametrize("left", [2, 0], ids=["some are left", "none is left"])
async def test_retention_that_overtakes_a_running_ingestor_is_counted(
    broker: str, topics: Topics, chdb_store: Store, admin: AIOKafkaAdminClient, left: int
) -> None:
    await send(broker, topics.events, [rows_of(0, 1)])
    with capture_logs() as logs:
        async with ingesting(make_ingestor_settings(broker, topics), chdb_store) as ingestor:
            await settled(ingestor)
            partition = partition_of(chdb_store)
            kafka = ingestor._kafka
            assert isinstance(kafka, AiokafkaClients)
            # The ingest loop resumes only what it has paused.
            kafka.pause(partition)
            await send(broker, topics.events, [rows_of(number, 1) for number in range(1, 6)])
            # A fetch that was on its way brought the first one, and is dropped.
            await until(lambda: partition in kafka._consumer._fetcher._records, False, _DEADLINE_SECONDS)
            await admin.delete_records({partition: RecordsToDelete(before_offset=6 - left)})
            kafka.resume(partition)
            await until(lambda: read_positions(chdb_store).positions[partition].missing, 5 - left, _DEADLINE_SECONDS)
    reported = [(line["missing"], line["start"]) for line in logs if line["event"] == "records_missing"]
    assert [missing for missing, _ in reported] == [5 - left]
    assert [value for _, value in stored(chdb_store)] == [0.0, *(float(number) for number in range(6 - left, 6))]


async def test_a_log_that_lost_what_is_stored_last_is_read_again_while_an_ingestor_runs(
    broker: str, topics: Topics, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepwell_ingestor.log_watch._LOOK_SECONDS", 0.2)
    await send(broker, topics.events, [rows_of(0, 3)])
    with capture_logs() as logs:
        async with ingesting(make_ingestor_settings(broker, topics), chdb_store) as ingestor:
            await settled(ingestor)
            partition = partition_of(chdb_store)
            owned = ingestor._owned.partitions[partition]
            position = owned.flusher.position
            assert position is not None
            # As if another record had been stored: the broker can't be made to lose one.
            last = position.boundaries[-1]
            boundaries = (last._replace(checksum=last.checksum ^ 1),)
            await owned.flusher.store_position(replace(position, boundaries=boundaries))
            await until(lambda: read_positions(chdb_store).positions[partition].epoch, 1, _DEADLINE_SECONDS)
            await send(broker, topics.events, [rows_of(3, 2)])
            await until(lambda: len(stored(chdb_store)), 5, _DEADLINE_SECONDS)
            (record,) = (await ingestor._kafka.records({partition: 0})).values()
    assert [line["event"] for line in logs if line["event"] in {"log_end_lost", "log_cut"}] == [
        "log_end_lost",
        "log_cut",
    ]
    assert stored(chdb_store) == stepwise(range(5))
    assert record is not None
    assert record.leader_epoch != NO_LEADER_EPOCH, "the broker states who appended a record"
