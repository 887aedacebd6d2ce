"""The log as an ingestor reads it during a rebuild: ranges of offsets, no group, and commits in the database.

It takes the place of the Kafka clients, so that the ingestor that stores events also rebuilds their tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IllegalStateError

from stepwell_ingestor.kafka.client import RebalanceCallbacks
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset
from stepwell_ingestor.kafka.log_probe import LogProbe, ProbedLog
from stepwell_ingestor.kafka.record_consumer import RecordConsumer, to_message
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.rebuild.record import RebuildRecord
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.limits import FETCH_RECORDS, MAX_EVENT_BYTES, MIB
from stepwell_schemas.rules.identifiers import RunPath

_MILLISECONDS: Final = 1_000


class ReplayedLog(ProbedLog):
    """`Kafka` for a rebuild: reads each partition from its commit in the record up to an end, and sends nothing.

    Dead letters are counted and dropped, since the ingestors have sent them.

    Args:
        settings: Kafka.
        ends: by partition, the offset at which to stop.
        record: the commits; each partition must have one, which says where to begin.
        run: the run to read; None: all of them.

    Attributes:
        letters: the dead letters of the replayed events.
        events: the events that were handed to the ingestor.
    """

    def __init__(
        self, settings: IngestorSettings, ends: Mapping[int, int], record: RebuildRecord, run: RunPath | None
    ) -> None:
        self._ends = {TopicPartition(settings.events_topic, number): end for number, end in ends.items()}
        self._record = record
        self._run = run
        self._codec = Codec()
        self._settled: dict[TopicPartition, int] = {}
        self._handed: dict[TopicPartition, int] = {}
        self._positions: dict[TopicPartition, int] = {}
        self.letters = 0
        self.events = 0
        self._admin = AIOKafkaAdminClient(**settings.kafka_connection())
        self._probe = LogProbe(settings.kafka_connection(), self._admin)
        self._consumer = RecordConsumer(
            **settings.kafka_connection(),
            enable_auto_commit=False,
            # An offset removed by retention must be an error: continuing at another offset would skip events.
            auto_offset_reset="none",
            fetch_max_bytes=2 * MAX_EVENT_BYTES,
            max_partition_fetch_bytes=MAX_EVENT_BYTES + MIB,
        )

    def is_settled(self) -> bool:
        """Return True once everything was read, and what was handed to the ingestor is committed."""
        return all(
            self._positions.get(partition, 0) >= end
            and self._settled.get(partition, 0) >= self._handed.get(partition, 0)
            for partition, end in self._ends.items()
        )

    async def start(self, topic: str, rebalanced: RebalanceCallbacks) -> None:  # noqa: ARG002 - of the protocol
        """Connect, and assign all partitions."""
        for client in (self._admin, self._probe.consumer, self._consumer):
            await client.start()
        self._consumer.assign(list(self._ends))
        for partition in self._ends:
            self.seek(partition, self._commit_of(partition).offset or 0)
        await rebalanced.on_partitions_assigned(set(self._ends))

    async def stop(self) -> None:
        """Disconnect."""
        # aiokafka's consumer without a group raises CancelledError for its own tasks if stopped soon after its start.
        with suppress(asyncio.CancelledError):
            await self._consumer.stop()
        await self._probe.stop()
        await self._admin.close()

    async def poll(self, seconds: float) -> Mapping[TopicPartition, list[Message]]:
        """Return messages before the ends."""
        fetched = await self._consumer.getmany(timeout_ms=round(seconds * _MILLISECONDS), max_records=FETCH_RECORDS)
        chosen = {}
        for partition, records in fetched.items():
            messages = [to_message(record) for record in records if record.offset < self._ends[partition]]
            messages = await asyncio.to_thread(self._select, messages)
            if messages:
                # The ingestor reads again what came before it knew where to begin.
                handed = self._handed.get(partition, 0)
                self.events += sum(message.offset >= handed for message in messages)
                self._handed[partition] = max(handed, messages[-1].offset + 1)
                chosen[partition] = messages
        for partition, end in self._ends.items():
            self._positions[partition] = await self._consumer.position(partition)
            if self._positions[partition] >= end:
                self._consumer.pause(partition)
        return chosen

    def _select(self, messages: list[Message]) -> list[Message]:
        if self._run is None:
            return messages
        # By the event's own run: producers may choose other message keys.
        received, _ = receive_all(self._codec, messages)
        return [item.message for item in received if item.path == self._run]

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        """Return the commits in the record."""
        return {partition: self._commit_of(partition) for partition in partitions}

    def _commit_of(self, partition: TopicPartition) -> CommittedOffset:
        return self._record.committed(partition.partition) or CommittedOffset(None, "")

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit to the record."""
        await asyncio.to_thread(self._record.commit, partition.partition, offset, plan)
        if not plan:
            self._settled[partition] = offset

    async def rejoin(self, partition: TopicPartition) -> None:
        """Do nothing: there is no group, and no commit is ever in doubt."""

    async def position(self, partition: TopicPartition) -> int | None:
        """Return the offset to read next."""
        position: int = await self._consumer.position(partition)
        return position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the offset to read next."""
        if partition not in self._ends:
            raise IllegalStateError(f"{partition} is not replayed")
        self._consumer.seek(partition, offset)
        self._consumer.resume(partition)
        self._positions[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        """Stop reading a partition."""
        self._consumer.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        """Continue reading a paused partition."""
        self._consumer.resume(partition)

    def assignment(self) -> set[TopicPartition]:
        """Return all partitions of the replay."""
        return set(self._ends)

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the end of the range."""
        return self._ends.get(partition)

    def read_to(self, partition: TopicPartition) -> int | None:
        """Return the offset to read next, at most the end."""
        position, end = self._positions.get(partition), self._ends.get(partition)
        return None if position is None or end is None else min(position, end)

    async def has_topic(self, topic: str) -> bool:  # noqa: ARG002 - of the protocol
        """Return True: no letter is sent."""
        return True

    async def create_deadletters_topic(self, topic: str) -> None:
        """Do nothing: no letter is sent."""

    async def send(
        self,
        topic: str,  # noqa: ARG002 - of the protocol
        value: bytes | None,  # noqa: ARG002
        key: bytes | None,  # noqa: ARG002
        headers: Sequence[tuple[str, bytes]],  # noqa: ARG002
    ) -> Awaitable[Any]:
        """Count a dead letter, and drop it."""
        self.letters += 1
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.set_result(None)
        return sent
