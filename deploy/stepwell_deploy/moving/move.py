"""Copying the events that are not stored to a new topic, after partitions were added to the events topic.

Ingestors store nothing of such a topic, since the later events of a run may be in another partition than its earlier
ones. The copy has them in the order in which they were sent, and is a topic as any other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stepwell_deploy.errors import MoveError
from stepwell_deploy.moving.order import RecordMark, merge_order
from stepwell_deploy.moving.source import EventSource
from stepwell_ingestor.kafka.committed_offsets import fetch_committed
from stepwell_ingestor.kafka.log_metadata import LogExtent, describe_log
from stepwell_ingestor.kafka.record_consumer import RecordConsumer, to_message
from stepwell_ingestor.kafka.record_models import Record, Unreadable
from stepwell_ingestor.messages import receive_all
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.limits import MAX_EVENT_BYTES
from stepwell_schemas.settings import KafkaSettings

_IN_FLIGHT: Final = 500


class StoredPartition(NamedTuple):
    """A partition's row in the table of positions: its stored end, and the topic's id and partitions then."""

    end: int
    topic_id: str
    partitions: int


class Moved(NamedTuple):
    """Result of a copy: the records that were copied, and the offsets that can't be read and were left out."""

    copied: int
    unreadable: int


def first_offsets(
    extents: Mapping[int, LogExtent], topic: str, topic_id: str, stored: Mapping[int, StoredPartition]
) -> dict[int, int]:
    """Return the first offset of each partition that is to be copied.

    Raises:
        MoveError: if the positions are of another log, or the topic has no more partitions than they know of.
    """
    if any(position.topic_id != topic_id for position in stored.values()):
        raise MoveError(f"the topic {topic} is not the one that the tables were filled from: it needs no copy")
    known = max((position.partitions for position in stored.values()), default=len(extents))
    if known >= len(extents):
        raise MoveError(
            f"the topic {topic} has the {len(extents)} partitions that it had when its events were stored: the "
            "ingestors read it, and it needs no copy"
        )
    return {
        number: max(extent.begin, stored[number].end if number in stored else 0) for number, extent in extents.items()
    }


def require_no_writers(
    topic: str, target: str, before: Mapping[int, LogExtent], after: Mapping[int, LogExtent]
) -> None:
    """Compare the ends of a topic before and after a copy. Raises: MoveError if events arrived meanwhile."""
    if any(extent.end > before[number].end for number, extent in after.items()):
        raise MoveError(f"producers still write to {topic}; stop them, create {target} again, and repeat this")


async def move_events(settings: KafkaSettings, group: str, target: str, stored: Mapping[int, StoredPartition]) -> Moved:
    """Copy the events that are not stored to an empty topic.

    Args:
        settings: Kafka, and the topic with added partitions.
        group: the consumer group of the ingestors.
        target: the new topic.
        stored: the stored positions, by partition.

    Raises:
        MoveError: if one of the topics is not as it must be, or producers still write to the first one.
        KafkaError: if the broker fails or has no such topic.
    """
    admin = AIOKafkaAdminClient(**settings.kafka_connection())
    await admin.start()
    try:
        log = await describe_log(admin, settings.events_topic)
        places = [TopicPartition(settings.events_topic, number) for number in range(log.partitions)]
        extents = await _extents(settings, places)
        starts = first_offsets(extents, settings.events_topic, log.topic_id, stored)
        await _require_no_plan(admin, group, places)
        await _require_empty(admin, settings, target)
        ranges = {number: range(start, extents[number].end) for number, start in starts.items()}
        async with EventSource.open(settings, ranges) as source:
            moved = await _copy(settings, source, target, await _read_marks(source, ranges))
        require_no_writers(settings.events_topic, target, extents, await _extents(settings, places))
        return moved
    finally:
        await admin.close()


async def _extents(settings: KafkaSettings, places: list[TopicPartition]) -> dict[int, LogExtent]:
    consumer = RecordConsumer(**settings.kafka_connection())
    await consumer.start()
    try:
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    return {place.partition: LogExtent(begins[place], ends[place]) for place in places}


async def _require_no_plan(admin: AIOKafkaAdminClient, group: str, places: list[TopicPartition]) -> None:
    commits = await fetch_committed(admin, group, places)
    unfinished = [place.partition for place, commit in commits.items() if commit.plan]
    if unfinished:
        raise MoveError(f"a flush of partition {unfinished[0]} is unfinished; start an ingestor, which completes it")


async def _require_empty(admin: AIOKafkaAdminClient, settings: KafkaSettings, target: str) -> None:
    if target == settings.events_topic:
        raise MoveError(f"the new topic must be another one than {target}")
    if target not in await admin.list_topics():
        raise MoveError(f"there is no topic {target}; create it with STEPWELL_EVENTS_TOPIC={target} stepwell setup")
    log = await describe_log(admin, target)
    extents = await _extents(settings, [TopicPartition(target, number) for number in range(log.partitions)])
    if any(extent.end for extent in extents.values()):
        raise MoveError(f"the topic {target} is not empty; name a new one, so that nothing is in it twice")


async def _read_marks(source: EventSource, ranges: Mapping[int, range]) -> dict[int, list[RecordMark]]:
    """Read everything once, to know the order."""
    codec, marks = Codec(), dict[int, list[RecordMark]]()
    for partition in ranges:
        marks[partition] = []
        while (record := await source.next(partition)) is not None:
            marks[partition].append(_mark(codec, record))
    source.rewind()
    return marks


def _mark(codec: Codec, record: Record | Unreadable) -> RecordMark:
    received, _ = receive_all(codec, [to_message(record)])
    if received and received[0].event.session:
        event = received[0].event
        return RecordMark(record.timestamp, f"{received[0].path}\n{event.session}", event.sequence)
    return RecordMark(record.timestamp)


async def _copy(
    settings: KafkaSettings, source: EventSource, target: str, marks: Mapping[int, list[RecordMark]]
) -> Moved:
    copied = unreadable = 0
    on_the_way: deque[asyncio.Future[Any]] = deque()
    async with AIOKafkaProducer(
        **settings.kafka_connection(), enable_idempotence=True, max_request_size=2 * MAX_EVENT_BYTES
    ) as producer:
        for partition in merge_order(marks):
            record = await source.next(partition)
            if not isinstance(record, Record):
                unreadable += 1
                continue
            on_the_way.append(
                await producer.send(
                    target, record.value, key=record.key, timestamp_ms=_time(record), headers=list(record.headers)
                )
            )
            copied += 1
            if len(on_the_way) >= _IN_FLIGHT:
                await on_the_way.popleft()
        while on_the_way:
            await on_the_way.popleft()
    return Moved(copied, unreadable)


def _time(record: Record) -> int | None:
    """Return the record's time, or None if it has none that a broker accepts."""
    return record.timestamp if record.timestamp >= 0 else None
