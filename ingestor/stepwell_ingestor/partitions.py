"""The partitions assigned to this member of the consumer group: their buffers, flushes and unfinished plans."""

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
class PartitionState:
    """The state of one assigned partition: its buffer and its flush in progress.

    Messages may arrive before the previous owner's plan has been read; nothing is flushed until `ready`.
    `rewind_to` is the first offset to read again after a failed flush if the group has committed nothing yet.
    """

    flusher: Flusher
    buffer: PartitionBuffer = field(default_factory=PartitionBuffer)
    task: asyncio.Task[None] | None = None
    ready: bool = False
    paused: bool = False
    rewind_to: int | None = None


class AssignedPartitions:
    """The partitions that the group has assigned to this member.

    aiokafka logs and discards exceptions of its callbacks. Therefore the callbacks only record the change; work that
    can fail is done in `read_plans`, which the ingest loop calls repeatedly.
    """

    def __init__(self, kafka: Kafka, make_flusher: Callable[[TopicPartition], Flusher]) -> None:
        self.partitions: dict[TopicPartition, PartitionState] = {}
        self._kafka = kafka
        self._make_flusher = make_flusher
        self._warned = False

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Handle assignment. Runs before the first message of the partitions can arrive."""
        for partition in assigned:
            self.partitions[partition] = PartitionState(self._make_flusher(partition))

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Handle revocation: wait for flushes in progress, then drop buffered messages; the next owner reads them."""
        leaving = [self.partitions.pop(partition) for partition in revoked if partition in self.partitions]
        for owned in leaving:
            owned.flusher.give_up()
        tasks = [owned.task for owned in leaving if owned.task is not None]
        if tasks:
            await asyncio.wait(tasks)  # all of them: after a failed flush, no other may continue past the rebalance
        for task in tasks:
            try:
                task.result()
            except (KafkaError, StoreUnavailableError) as error:
                _log.info("flush_left_to_next_owner", error=str(error))

    def restart_partition(self, partition: TopicPartition) -> None:
        """Discard a partition's state after a flush failed; it restarts from the committed offset."""
        owned = self.partitions.get(partition)
        if owned is not None:
            owned.flusher.give_up()
            flusher = self._make_flusher(partition)
            rewind_to = owned.buffer.next_offset
            self.partitions[partition] = PartitionState(flusher, paused=owned.paused, rewind_to=rewind_to)

    async def read_plans(self) -> None:
        """Read the committed offsets and plans of newly assigned partitions."""
        new = {partition: owned for partition, owned in self.partitions.items() if not owned.ready}
        if not new:
            return
        try:
            committed = await self._kafka.committed(list(new))
        except KafkaError as error:
            if not self._warned:
                self._warned = True
                _log.warning("committed_offsets_unavailable", error=str(error))
            return
        self._warned = False
        for partition, owned in new.items():
            if self.partitions.get(partition) is owned:
                start, plan = committed[partition]
                self._begin(partition, owned, start, int(plan) if plan else None)

    def _begin(
        self, partition: TopicPartition, owned: PartitionState, start: int | None, planned_end: int | None
    ) -> None:
        first = owned.rewind_to if start is None else start
        if first is not None:
            try:
                self._kafka.seek(partition, first)
            except IllegalStateError:
                # A rebalance in progress has revoked the partition; it will be assigned again or not.
                return
            # Drop messages that were fetched before the seek: aiokafka looks up its position independently, and
            # another member may have advanced since. They may leave a gap or precede `first`; they are fetched again.
            owned.buffer = PartitionBuffer()
        owned.buffer.start, owned.buffer.planned_end = start, planned_end
        owned.ready = True
        if planned_end is not None:
            _log.info("unfinished_flush_found", partition=partition.partition, start=start, end=planned_end)

    def balance(self, limit_bytes: int) -> None:
        """Pause partitions while the buffers are full; a paused partition remains assigned.

        A partition with an unfinished plan is not paused: its flush needs all messages of the plan, and frees memory.
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
