"""Reading a topic's partitions one record at a time, each in its own order."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import TopicPartition

from stepwell_ingestor.kafka.record_consumer import RecordConsumer
from stepwell_ingestor.kafka.record_models import Record, Unreadable
from stepwell_schemas.limits import FETCH_RECORDS, MAX_EVENT_BYTES, MIB
from stepwell_schemas.settings import KafkaSettings

_FETCH_MILLISECONDS: Final = 500


class EventSource:
    """The records of the offsets `ranges` of a topic's partitions. Its methods raise KafkaError."""

    def __init__(self, consumer: RecordConsumer, topic: str, ranges: Mapping[int, range]) -> None:
        self._consumer = consumer
        self._topic = topic
        self._ranges = ranges
        self._read: dict[int, deque[Record | Unreadable]] = {}
        self.rewind()

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings, ranges: Mapping[int, range]) -> AsyncIterator[EventSource]:
        """Open the events topic for the block."""
        consumer = RecordConsumer(
            **settings.kafka_connection(),
            enable_auto_commit=False,
            # An offset removed by retention must be an error: continuing at another offset would skip events.
            auto_offset_reset="none",
            fetch_max_bytes=2 * MAX_EVENT_BYTES,
            max_partition_fetch_bytes=MAX_EVENT_BYTES + MIB,
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(settings.events_topic, number) for number in ranges])
            yield cls(consumer, settings.events_topic, ranges)
        finally:
            await consumer.stop()

    def rewind(self) -> None:
        """Read again from the first offset of each range."""
        self._read = {number: deque() for number in self._ranges}
        for number, offsets in self._ranges.items():
            self._consumer.seek(TopicPartition(self._topic, number), offsets.start)

    async def next(self, partition: int) -> Record | Unreadable | None:
        """Return the next record of a partition, or what stands for unreadable ones; None after the last one."""
        place, offsets, read = TopicPartition(self._topic, partition), self._ranges[partition], self._read[partition]
        while not read:
            # Without a fetch: the last offsets may have no records.
            if not offsets or await self._consumer.position(place) >= offsets.stop:
                return None
            fetched = await self._consumer.getmany(place, timeout_ms=_FETCH_MILLISECONDS, max_records=FETCH_RECORDS)
            read.extend(record for record in fetched.get(place, ()) if record.offset in offsets)
        return read.popleft()
