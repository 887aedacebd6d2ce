"""The partitions assigned to this member of the consumer group: their buffers, flushes and positions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from stepwell_ingestor import telemetry
from stepwell_ingestor.errors import PartitionsAddedError, RestartError
from stepwell_ingestor.flush.buffer import PartitionBuffer
from stepwell_ingestor.flush.flusher import Flusher
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.committed_offsets import BY_HAND
from stepwell_ingestor.kafka.fenced_commit import commit
from stepwell_ingestor.messages import NO_LEADER_EPOCH, Message
from stepwell_ingestor.positions.cuts import has_later_leader, latest_leader
from stepwell_ingestor.positions.decide import decide
from stepwell_ingestor.positions.evidence import USUAL, Decision, Evidence, Reason
from stepwell_ingestor.positions.observe import observe
from stepwell_ingestor.positions.report import report_added_partitions, report_decision
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreUnavailableError

_MILLISECONDS: Final = 1_000
_HELD_SECONDS: Final = 2.0
_log = structlog.get_logger()


@dataclass
class PartitionState:
    """The state of one assigned partition: its buffer and its flush in progress.

    Messages may arrive before it was decided where to continue; nothing is flushed until `ready`. `plan_is_void`: the
    committed plan was found to be for other records. `stale`: the partition has to be started again after its flush.
    `leader_epoch`: the latest one of the records that were read, or compared with what is stored.
    """

    flusher: Flusher
    buffer: PartitionBuffer = field(default_factory=PartitionBuffer)
    task: asyncio.Task[None] | None = None
    ready: bool = False
    paused: bool = False
    plan_is_void: bool = False
    stale: bool = False
    leader_epoch: int = NO_LEADER_EPOCH

    @property
    def is_idle(self) -> bool:
        """True if nothing that was read waits to be stored."""
        return self.task is None and self.buffer.is_empty


class AssignedPartitions:
    """The partitions that the group has assigned to this member.

    aiokafka logs and discards exceptions of its callbacks. Therefore the callbacks only record the change; work that
    can fail is started by `find_positions`, which the ingest loop calls repeatedly.
    """

    def __init__(self, kafka: Kafka, store: Store, make_flusher: Callable[[TopicPartition], Flusher]) -> None:
        self.partitions: dict[TopicPartition, PartitionState] = {}
        self._kafka = kafka
        self._store = store
        self._make_flusher = make_flusher
        self._finding: asyncio.Task[None] | None = None
        self._failed = False
        self._added = False

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Handle assignment. Runs before the first message of the partitions can arrive."""
        for partition in assigned:
            self.partitions[partition] = PartitionState(self._make_flusher(partition))

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Handle revocation: wait for flushes in progress, then drop buffered messages; the next owner reads them."""
        if self._finding is not None:
            # Its commits would be made under the next membership.
            self._finding.cancel()
            await asyncio.wait({self._finding})
        leaving = [self.partitions.pop(partition) for partition in revoked if partition in self.partitions]
        for owned in leaving:
            owned.flusher.give_up()
        tasks = [owned.task for owned in leaving if owned.task is not None]
        if tasks:
            await asyncio.wait(tasks)  # all of them: after a failed flush, no other may continue past the rebalance
        for task in tasks:
            try:
                task.result()
            except (KafkaError, StoreUnavailableError, RestartError) as error:
                _log.info("flush_left_to_next_owner", error=str(error))

    def restart_partition(self, partition: TopicPartition, *, plan_is_void: bool = False) -> None:
        """Discard a partition's state after a flush failed, or what it read was not what is stored or logged."""
        owned = self.partitions.get(partition)
        if owned is not None:
            owned.flusher.give_up()
            flusher = self._make_flusher(partition)
            self.partitions[partition] = PartitionState(
                flusher,
                paused=owned.paused,
                plan_is_void=plan_is_void,
                # What is stored is compared with the log after this leader's first record: none of its records, read
                # again, needs another comparison.
                leader_epoch=owned.leader_epoch,
            )

    def add(self, partition: TopicPartition, messages: Sequence[Message], now: float) -> None:
        """Buffer messages that were fetched together, at `now`.

        Start the partition again if they are of another log than those before, or may be.
        """
        owned = self.partitions[partition]
        expected = owned.buffer.expected
        if owned.ready and expected is not None and messages and messages[0].offset < expected:
            # The consumer starts at the log's beginning if its offset is beyond the end.
            _log.warning("log_went_back", partition=partition.partition, expected=expected, offset=messages[0].offset)
            owned.stale = True
        if owned.ready:
            if has_later_leader(owned.leader_epoch, messages):
                _log.info("leader_changed", partition=partition.partition, offset=messages[0].offset)
                owned.stale = True
            owned.leader_epoch = latest_leader(owned.leader_epoch, messages)
        if not owned.stale:
            owned.buffer.add(messages, now)

    def find_positions(self) -> None:
        """Decide in the background where newly assigned partitions continue, and seek to that place.

        A broker that does not answer for one of them must not delay the flushes of others.

        While the topic has more partitions than are stored, none of them begins.

        Raises:
            StoreError: if ClickHouse refuses a statement.
        """
        if self._finding is not None and self._finding.done():
            finding, self._finding = self._finding, None
            if not finding.cancelled():
                finding.result()
        if self._finding is None and any(not owned.ready for owned in self.partitions.values()):
            self._finding = asyncio.create_task(self._find())

    def close(self) -> None:
        """Cancel what is done in the background."""
        for task in (self._finding, *(owned.task for owned in self.partitions.values())):
            if task is not None:
                task.cancel()

    async def _find(self) -> None:
        new = {partition: owned for partition, owned in self.partitions.items() if not owned.ready}
        # After a failure one by one, as one partition without a leader fails the request for all.
        portions = [[partition] for partition in new] if self._failed else [list(new)]
        errors = [error for portion in portions if (error := await self._find_some(portion, new)) is not None]
        unavailable = any(isinstance(error, StoreUnavailableError) for error in errors)
        if unavailable or self._failed:
            telemetry.gauge("stepwell_ingestor_store_alarm", unavailable)
        added = next((error for error in errors if isinstance(error, PartitionsAddedError)), None)
        report_added_partitions(added, reported=self._added)
        self._added = added is not None
        if errors and added is None and not self._failed:
            _log.warning("positions_unavailable", error=str(errors[0]))
        self._failed = bool(errors)
        if added is not None:
            # An operator has to act, which takes longer than the next turn of the loop.
            await asyncio.sleep(_HELD_SECONDS)

    async def _find_some(
        self, portion: Sequence[TopicPartition], new: Mapping[TopicPartition, PartitionState]
    ) -> Exception | None:
        """Decide for some partitions; return the error if that is not possible now."""
        void_plans = [partition for partition in portion if new[partition].plan_is_void]
        try:
            evidences = await observe(self._kafka, self._store, portion, void_plans)
            for partition, evidence in evidences.items():
                if self.partitions.get(partition) is new[partition]:
                    await self._begin(partition, new[partition], evidence)
        except (KafkaError, StoreUnavailableError, PartitionsAddedError) as error:
            return error
        return None

    async def _begin(self, partition: TopicPartition, owned: PartitionState, evidence: Evidence) -> None:
        decision = decide(evidence, round(time.time() * _MILLISECONDS))
        # Before anything is stored: once it is, even if the reply is lost, the next decision is an ordinary one.
        report_decision(partition, decision, evidence.committed)
        if decision.is_new:
            await self._store_position(partition, owned, evidence, decision)
        else:
            owned.flusher.begin(decision.position)
        if decision.plan is None and (decision.reason not in USUAL or evidence.plan is not None):
            # Also if no event comes, the next owner need not find the same discrepancy, or a plan that can't be
            # repeated, and the group has no lag.
            await commit(self._kafka, partition, decision.start, "")
        if self.partitions.get(partition) is not owned:
            return
        try:
            self._kafka.seek(partition, decision.start)
        except IllegalStateError:
            # A rebalance in progress has revoked the partition; it will be assigned again or not.
            return
        # Drop messages that were fetched before the seek: aiokafka looks up its position independently, and another
        # member may have advanced since. They may leave a gap or precede the start; they are fetched again.
        owned.buffer = PartitionBuffer(decision.start, decision.plan)
        # The epochs of a log that was created again begin again.
        known = NO_LEADER_EPOCH if decision.reason is Reason.LOG_REPLACED else owned.leader_epoch
        owned.leader_epoch = max(known, evidence.leader_epoch)
        owned.ready = True

    async def _store_position(
        self, partition: TopicPartition, owned: PartitionState, evidence: Evidence, decision: Decision
    ) -> None:
        if evidence.committed is not None:
            # Commit again what is committed: the broker accepts it from the partition's owner only.
            without = BY_HAND if evidence.by_hand else ""
            plan = without if evidence.plan is None else evidence.plan.text
            await commit(self._kafka, partition, evidence.committed, plan, again=True)
        await owned.flusher.store_position(decision.position)

    def balance(self, limit_bytes: int) -> None:
        """Pause partitions while the buffers are full; a paused partition remains assigned.

        A partition with an unfinished plan is not paused: its flush needs all messages of the plan, and frees memory.
        """
        assigned = self._kafka.assignment()
        full = sum(owned.buffer.bytes for owned in self.partitions.values()) >= limit_bytes
        for partition, owned in self.partitions.items():
            pause = full and not owned.buffer.is_empty and owned.buffer.plan is None
            if pause == owned.paused or partition not in assigned:
                continue
            if pause:
                self._kafka.pause(partition)
            else:
                self._kafka.resume(partition)
            owned.paused = pause
