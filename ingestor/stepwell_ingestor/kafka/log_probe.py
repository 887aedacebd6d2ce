"""Look at a log without consuming it: its identity, its range of offsets, and single records.

The probe is no member of a group. Its consumer is separate from the ingest loop's, whose requests for offsets would
wait behind a fetch that waits for events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaTimeoutError

from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity, describe_log
from stepwell_ingestor.kafka.record_consumer import RecordConsumer, to_message
from stepwell_ingestor.messages import Message

_FETCH_MILLISECONDS: Final = 50
_POLL_MILLISECONDS: Final = 200
_READ_SECONDS: Final = 10.0
# A broker returns a batch that is larger as well.
_FETCH_BYTES: Final = 64 * 1024


class LogProbe:
    """Reads from the logs of a cluster. Every method may raise KafkaError."""

    def __init__(self, connection: Mapping[str, Any], admin: AIOKafkaAdminClient) -> None:
        self._admin = admin
        # `records` assigns the consumer, so that one call must not begin within another.
        self._reading = asyncio.Lock()
        self._consumer = RecordConsumer(
            **connection,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_MILLISECONDS,
            max_partition_fetch_bytes=_FETCH_BYTES,
        )

    @property
    def consumer(self) -> RecordConsumer:
        """The consumer, to be started before the first call."""
        return self._consumer

    async def stop(self) -> None:
        """Disconnect."""
        # aiokafka's consumer without a group raises CancelledError for its own tasks if stopped soon after its start.
        with suppress(asyncio.CancelledError):
            await self._consumer.stop()

    async def describe(self, topic: str) -> LogIdentity:
        """Return the identity of a topic's log."""
        return await describe_log(self._admin, topic)

    async def extents(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, LogExtent]:
        """Return the present range of offsets of each partition."""
        begins = await self._consumer.beginning_offsets(list(partitions))
        ends = await self._consumer.end_offsets(list(partitions))
        return {partition: LogExtent(begins[partition], ends[partition]) for partition in partitions}

    async def records(self, places: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Message | None]:
        """Return, for each partition, the record at an offset within its range, or the next one, None if there is none.

        Several records may share a batch that is unreadable; then all of them are one message with a fault.
        """
        async with self._reading:
            return await self._read(places)

    async def _read(self, places: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Message | None]:
        found: dict[TopicPartition, Message | None] = {}
        self._consumer.assign(list(places))
        for partition, offset in places.items():
            self._consumer.seek(partition, offset)
        clock = asyncio.get_running_loop().time
        deadline = clock() + _READ_SECONDS
        while missing := [partition for partition in places if partition not in found]:
            if clock() > deadline:
                raise KafkaTimeoutError(f"no record of {missing[0]} could be read")
            fetched = await self._consumer.getmany(*missing, timeout_ms=_POLL_MILLISECONDS, max_records=1)
            for partition in missing:
                if records := fetched.get(partition):
                    found[partition] = to_message(records[0])
                elif not fetched and await self._consumer.position(partition) > places[partition]:
                    found[partition] = None
        # To unsubscribe would fetch the metadata of all topics, and again with the next assignment.
        self._consumer.pause(*places)
        return found


class ProbedLog:
    """The part of `Kafka` that looks at logs, through the probe of a subclass."""

    _probe: LogProbe

    async def describe_log(self, topic: str) -> LogIdentity:
        """Return the identity of a topic's log."""
        return await self._probe.describe(topic)

    async def extents(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, LogExtent]:
        """Return the present range of offsets of each partition's log."""
        return await self._probe.extents(partitions)

    async def records(self, places: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Message | None]:
        """Return, for each partition, the record at an offset of its log, or the next one, without consuming it."""
        return await self._probe.records(places)
