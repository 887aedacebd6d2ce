"""Reading the dead-letter topic, and the events that its letters name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from stepwell_deploy.deadletters.models import Letter, LetterName, Origin
from stepwell_deploy.errors import BrokerError, LetterError, NoLetterError
from stepwell_ingestor.kafka.record_consumer import RecordConsumer
from stepwell_ingestor.kafka.record_models import Record, Unreadable
from stepwell_schemas.errors import DeadLetterReason
from stepwell_schemas.limits import FETCH_RECORDS
from stepwell_schemas.settings import KafkaSettings

REQUEST_MILLISECONDS: Final = 10_000
"""Timeout of one request to a broker."""

_FETCH_MILLISECONDS: Final = 500
_READ_SECONDS: Final = 30.0


class TopicLog:
    """The records that one topic has when it is opened, read outside any consumer group.

    Attributes:
        partitions: the topic's partitions, ascending.
    """

    def __init__(self, consumer: RecordConsumer, ranges: dict[TopicPartition, range]) -> None:
        self._consumer = consumer
        self._ranges = ranges
        self.partitions = [partition.partition for partition in ranges]

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings, topic: str) -> AsyncIterator[TopicLog]:
        """Open a topic for the block. Raises: BrokerError if it does not exist; KafkaError."""
        consumer = RecordConsumer(
            topic,
            **settings.kafka_connection(),
            auto_offset_reset="earliest",
            request_timeout_ms=REQUEST_MILLISECONDS,
        )
        try:
            try:
                await consumer.start()
            except UnknownTopicOrPartitionError as error:
                raise BrokerError(f"Kafka at {settings.kafka_bootstrap_servers} has no topic {topic}") from error
            partitions = sorted(consumer.assignment())
            first = await consumer.beginning_offsets(partitions)
            end = await consumer.end_offsets(partitions)
            yield cls(consumer, {name: range(first[name], end[name]) for name in partitions})
        finally:
            await consumer.stop()

    async def all_topics(self) -> set[str]:
        """Return the names of all topics of the broker."""
        topics: set[str] = await self._consumer.topics()
        return topics

    async def records(self) -> AsyncIterator[Record | Unreadable]:
        """Yield every record, and a placeholder for each unreadable one, in order within each partition."""
        unread = {partition for partition, offsets in self._ranges.items() if offsets}
        for partition in unread:
            self._consumer.seek(partition, self._ranges[partition].start)
        while unread:
            fetched = await self._consumer.getmany(*unread, timeout_ms=_FETCH_MILLISECONDS, max_records=FETCH_RECORDS)
            for partition, records in fetched.items():
                for record in records:
                    if record.offset in self._ranges[partition]:
                        yield record
            # The end is detected by position and not by record, since the last offsets may have no records.
            for partition in list(unread):
                if await self._consumer.position(partition) >= self._ranges[partition].stop:
                    unread.remove(partition)

    async def record(self, partition: int, offset: int) -> Record | Unreadable | None:
        """Return the record at an offset, a placeholder if it can't be read, or None if there is none."""
        topic_partition = next((known for known in self._ranges if known.partition == partition), None)
        if topic_partition is None or offset not in self._ranges[topic_partition]:
            return None
        self._consumer.seek(topic_partition, offset)
        async with asyncio.timeout(_READ_SECONDS):
            while True:
                fetched = await self._consumer.getmany(topic_partition, timeout_ms=_FETCH_MILLISECONDS, max_records=1)
                if fetched:
                    record: Record | Unreadable = fetched[topic_partition][0]
                    covered = isinstance(record, Unreadable) and record.first <= offset <= record.offset
                    return record if covered or record.offset == offset else None
                if await self._consumer.position(topic_partition) > offset:
                    return None


def _letter(record: Record | Unreadable) -> Letter:
    name = LetterName(record.partition, record.offset)
    if isinstance(record, Unreadable):
        headers = {"reason": str(DeadLetterReason.UNREADABLE), "detail": f"this record can't be read: {record.detail}"}
        return Letter(name, record.timestamp, None, None, headers)
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value is not None}
    return Letter(name, record.timestamp, record.key, record.value, headers)


class DeadLetters:
    """The letters that the dead-letter topic has when it is opened."""

    def __init__(self, settings: KafkaSettings, log: TopicLog) -> None:
        self._settings = settings
        self._log = log
        self.partitions = log.partitions

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings) -> AsyncIterator[DeadLetters]:
        """Open the topic for the block. Raises: BrokerError, KafkaError."""
        async with TopicLog.open(settings, settings.deadletters_topic) as log:
            yield cls(settings, log)

    async def select(self, reason: str | None = None, run: str | None = None) -> AsyncIterator[Letter]:
        """Yield the letters of a reason and of a run (entity/project/run_id); None stands for all."""
        async for record in self._log.records():
            letter = _letter(record)
            if reason in {None, letter.reason} and (run is None or run == letter.run):
                yield letter

    async def named(self, text: str) -> Letter:
        """Return a letter by its name. Raises: NoLetterError, KafkaError."""
        name = LetterName.parse(text, self.partitions)
        record = await self._log.record(*name)
        if record is None:
            raise NoLetterError(text, f"see `list` for those that {self._settings.deadletters_topic} holds")
        return _letter(record)

    async def all_topics(self) -> set[str]:
        """Return the names of all topics of the broker. Raises: KafkaError."""
        return await self._log.all_topics()

    async def original(self, letter: Letter) -> tuple[bytes | None, bytes]:
        """Return the event's key and bytes: from the letter, or from its origin if they were too large for the letter.

        Raises:
            LetterError: when the letter has none, and Kafka no longer holds those at its origin.
        """
        if letter.value is not None:
            return letter.key, letter.value
        origin = require_origin(letter)
        async with TopicLog.open(self._settings, origin.topic) as log:
            record = await log.record(origin.partition, origin.offset)
        if isinstance(record, Unreadable):
            raise LetterError(f"its bytes at {origin} can't be read: {record.detail}")
        # A topic that was created again has another event at this offset.
        if record is None or record.timestamp != letter.event_timestamp or (record.key or b"") != (letter.key or b""):
            raise LetterError(f"its bytes were too large for a letter, and Kafka no longer holds them at {origin}")
        return record.key, record.value or b""


def require_origin(letter: Letter) -> Origin:
    """Return the origin of a letter's event. Raises: LetterError if its headers do not have one."""
    if letter.origin is None:
        raise LetterError("its headers name no topic, partition and offset: it was not written by an ingestor")
    return letter.origin
