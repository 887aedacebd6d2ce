"""What this member of the consumer group owns: its partitions, the plans left on them, and which are paused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from stepwell_ingestor.flush.buffer import PartitionBuffer
from stepwell_ingestor.flush.flusher import Flusher
from stepwell_ingestor.kafka.client import Kafka
from stepwell_schemas.errors import StoreUnavailableError

_log = structlog.get_logger()


@dataclass
class Owned:
    """One partition: what it holds in memory and the flush under way.

    Messages may come before the plan that an owner before left was read; nothing is flushed until `ready`.
    `rewind_to` is the first offset to read again after a flush that failed, where nothing was committed before.
    """

    flusher: Flusher
    buffer: PartitionBuffer = field(default_factory=PartitionBuffer)
    task: asyncio.Task[None] | None = None
    ready: bool = False
    paused: bool = False
    rewind_to: int | None = None


class Ownership:
    """The partitions that the group gave to this member.

    aiokafka logs and forgets what its callbacks raise. So they only note what changed; what can fail is done by
    `read_plans`, which the ingest loop calls until nothing is left to do.
    """

    def __init__(self, kafka: Kafka, make_flusher: Callable[[TopicPartition], Flusher]) -> None:
        self.partitions: dict[TopicPartition, Owned] = {}
        self._kafka = kafka
        self._make_flusher = make_flusher
        self._told = False

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Begin to hold partitions. Runs before their first message can come."""
        for partition in assigned:
            self.partitions[partition] = Owned(self._make_flusher(partition))

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Let partitions go: flushes under way end first, what is only buffered is the next owner's to read."""
        leaving = [self.partitions.pop(partition) for partition in revoked if partition in self.partitions]
        for owned in leaving:
            owned.flusher.give_up()
        tasks = [owned.task for owned in leaving if owned.task is not None]
        if tasks:
            await asyncio.wait(tasks)  # all of them: one that fails must not let another go on behind the rebalance
        for task in tasks:
            try:
                task.result()
            except (KafkaError, StoreUnavailableError) as error:
                _log.info("left a flush to the partition's next owner", error=str(error))

    def retake(self, partition: TopicPartition) -> None:
        """Begin a partition anew after a flush that the broker did not let end: what is committed tells from where."""
        owned = self.partitions.get(partition)
        if owned is not None:
            owned.flusher.give_up()
            anew = Owned(self._make_flusher(partition), paused=owned.paused, rewind_to=owned.buffer.next_offset)
            self.partitions[partition] = anew

    async def read_plans(self) -> None:
        """Ask the broker what owners before left on partitions that are new here."""
        new = {partition: owned for partition, owned in self.partitions.items() if not owned.ready}
        if not new:
            return
        try:
            committed = await self._kafka.committed(list(new))
        except KafkaError as error:
            if not self._told:
                self._told = True
                _log.warning("the broker does not tell what is committed; asking again", error=str(error))
            return
        self._told = False
        for partition, owned in new.items():
            if self.partitions.get(partition) is owned:
                start, plan = committed[partition]
                self._begin(partition, owned, start, int(plan) if plan else None)

    def _begin(self, partition: TopicPartition, owned: Owned, start: int | None, planned_end: int | None) -> None:
        first = owned.rewind_to if start is None else start
        if first is not None:
            try:
                self._kafka.seek(partition, first)
            except IllegalStateError:
                # A rebalance under way has taken the partition; its end brings a new start.
                return
            # What came before lies behind a gap, or before `first`: aiokafka looks its position up on its own, and
            # in the meantime another member may have gone on from there. It comes again.
            owned.buffer = PartitionBuffer()
        owned.buffer.start, owned.buffer.planned_end = start, planned_end
        owned.ready = True
        if planned_end is not None:
            _log.info("repeating an unfinished flush", partition=partition.partition, start=start, end=planned_end)

    def balance(self, limit_bytes: int) -> None:
        """Pause partitions while memory is full; a paused one stays this member's.

        A partition with an unfinished plan is read on: its flush needs all of the plan, and frees memory.
        """
        assigned = self._kafka.assignment()
        full = sum(owned.buffer.bytes for owned in self.partitions.values()) >= limit_bytes
        for partition, owned in self.partitions.items():
            pause = full and not owned.buffer.is_empty and owned.buffer.planned_end is None
            if pause == owned.paused or partition not in assigned:
                continue
            if pause:
                self._kafka.pause(partition)
            else:
                self._kafka.resume(partition)
            owned.paused = pause
