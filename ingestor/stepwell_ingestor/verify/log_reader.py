"""Read one run's events from Kafka: find their partition and its range of offsets, and read a part of it.

The reader is independent of the ingestors and does not join their group.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from stepwell_ingestor.errors import ReplayError
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset, fetch_committed
from stepwell_ingestor.kafka.record_consumer import RecordConsumer, to_message
from stepwell_ingestor.messages import Message, Received, receive_all
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.limits import FETCH_RECORDS, MAX_EVENT_BYTES, MIB
from stepwell_schemas.rules.identifiers import RunPath

_POLL_MILLISECONDS: Final = 1_000
_SILENT_POLLS: Final = 30
_FETCH_MILLISECONDS: Final = 50
_COMMITTED_TRIES: Final = 20
_RETRY_SECONDS: Final = 0.25


class Extent(NamedTuple):
    """The offsets [begin, end) of a partition in Kafka."""

    begin: int
    end: int


class LogSlice(NamedTuple):
    """The run's events in one response of the broker, and the number of its messages that are unusable."""

    received: list[Received]
    unusable: int


class RunLog:
    """Reads the events of one run. Every method may raise KafkaError; those that raise ReplayError say so."""

    def __init__(self, settings: IngestorSettings, run: RunPath) -> None:
        self._settings = settings
        self._run = run
        self._codec = Codec()
        self._topic = settings.events_topic
        self._consumer = RecordConsumer(
            **settings.kafka_connection(),
            enable_auto_commit=False,
            # An offset removed by retention must be an error: continuing at another offset would skip events.
            auto_offset_reset="none",
            # Requests for offsets are queued after a fetch that waits for events.
            fetch_max_wait_ms=_FETCH_MILLISECONDS,
            fetch_max_bytes=2 * MAX_EVENT_BYTES,
            max_partition_fetch_bytes=MAX_EVENT_BYTES + MIB,
        )
        self._admin = AIOKafkaAdminClient(**settings.kafka_connection())

    async def open(self) -> None:
        """Connect."""
        await self._admin.start()
        await self._consumer.start()

    async def close(self) -> None:
        """Disconnect."""
        # aiokafka's consumer without a group raises CancelledError for its own tasks if stopped soon after its start.
        with suppress(asyncio.CancelledError):
            await self._consumer.stop()
        await self._admin.close()

    async def partitions(self) -> list[int]:
        """Return the topic's partitions, first the one of the run's key. Raises: ReplayError if there is no topic."""
        # Describing a single topic would create it.
        topics = {topic["topic"]: topic for topic in await self._admin.describe_topics()}
        if self._topic not in topics:
            raise ReplayError(f"Kafka at {self._settings.kafka_bootstrap_servers} has no topic {self._topic}")
        numbers = sorted(partition["partition"] for partition in topics[self._topic]["partitions"])
        named = DefaultPartitioner()(self._run.kafka_key, numbers, numbers)
        return [named, *(number for number in numbers if number != named)]

    async def extent(self, partition: int) -> Extent:
        """Return the current range of a partition's offsets."""
        place = TopicPartition(self._topic, partition)
        begins = await self._consumer.beginning_offsets([place])
        ends = await self._consumer.end_offsets([place])
        return Extent(begins[place], ends[place])

    async def committed(self, partition: int) -> CommittedOffset:
        """Return the commit of the ingestors' group for a partition."""
        place = TopicPartition(self._topic, partition)
        for _ in range(_COMMITTED_TRIES - 1):
            # The group coordinator may be moving to another broker, or still be loading the group.
            with suppress(KafkaError):
                return (await fetch_committed(self._admin, self._settings.ingestor_group, [place]))[place]
            await asyncio.sleep(_RETRY_SECONDS)
        return (await fetch_committed(self._admin, self._settings.ingestor_group, [place]))[place]

    async def read(self, partition: int, start: int, end: int) -> AsyncIterator[LogSlice]:
        """Yield the run's events at the offsets [start, end), by response of the broker.

        Raises:
            ReplayError: if the broker returns nothing more before `end`.
        """
        if start >= end:
            return
        place = TopicPartition(self._topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, start)
        silent = 0
        while (position := await self._consumer.position(place)) < end:
            records = (
                await self._consumer.getmany(place, timeout_ms=_POLL_MILLISECONDS, max_records=FETCH_RECORDS)
            ).get(place, [])
            silent = 0 if records or await self._consumer.position(place) > position else silent + 1
            if silent == _SILENT_POLLS:
                raise ReplayError(f"Kafka returns nothing of {self._topic}/{partition} from offset {position} on")
            yield self._select([to_message(record) for record in records if record.offset < end])

    def _select(self, messages: list[Message]) -> LogSlice:
        # Select events by their own run path: producers may choose other message keys.
        received, dead = receive_all(self._codec, messages)
        unusable = sum(letter.message.key == self._run.kafka_key for letter in dead)
        return LogSlice([item for item in received if item.path == self._run], unusable)
