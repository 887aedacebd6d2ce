"""The ingestor: a consumer group member that stores events from Kafka in ClickHouse."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final, NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stepwell_ingestor import telemetry
from stepwell_ingestor.alarms import DeadLetterAlarm
from stepwell_ingestor.errors import PlanError, RestartError
from stepwell_ingestor.flush.content_report import (
    report_differences,
    report_early,
    report_forgotten,
    report_shared_writers,
    report_times,
)
from stepwell_ingestor.flush.deadletter_delivery import LetterDelivery
from stepwell_ingestor.flush.flusher import Flusher
from stepwell_ingestor.flush.policy import FlushPolicy
from stepwell_ingestor.flush.state_memory import StateMemory
from stepwell_ingestor.garbage import collect_rarely
from stepwell_ingestor.kafka.client import LEAVE_SECONDS, AiokafkaClients, Kafka
from stepwell_ingestor.log_watch import LogWatch
from stepwell_ingestor.partitions import AssignedPartitions, PartitionState
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreUnavailableError
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.media_store import MediaStore

_POLL_SECONDS: Final = 0.05
# Shutdown: 5 s to store what is buffered and 2 s to leave the group. A `run` that still hangs after these 7 s is
# cancelled and has another 2 s.
_DRAIN_SECONDS: Final = 5.0
_log = structlog.get_logger()


class IngestorStatus(NamedTuple):
    """The backlog of an ingestor.

    Bytes buffered, lag in events, assigned and paused partitions, and the time of the last completed flush (seconds
    since the epoch, None before the first).
    """

    buffered_bytes: int
    lag_events: int
    partitions: int
    paused: int
    last_flush_at: float | None


class Ingestor:
    """Ingests until `stop()`. Several ingestors, in any number of processes, share the partitions of the topic.

    Retries without limit while Kafka, ClickHouse or the media store can't be reached.

    `run()` raises errors that a retry can't resolve: ClickHouse refuses a statement (`StoreError`) or accepts an insert
    without storing it (`LandingError`), or the broker refuses this client (`KafkaError`). Nothing is
    committed in these cases: the next ingestor repeats the flush.
    """

    def __init__(
        self, settings: IngestorSettings, store: Store, kafka: Kafka | None = None, media: MediaStore | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._media = MediaStore(settings.media_url) if media is None else media
        self._kafka = AiokafkaClients(settings) if kafka is None else kafka
        self._policy = FlushPolicy(settings.ingestor_flush_bytes, settings.ingestor_flush_seconds)
        self._last_flush_at: float | None = None
        self._reported: IngestorStatus | None = None
        self._alarm = DeadLetterAlarm(settings.ingestor_deadletter_alarm_share)
        self._letters = LetterDelivery(self._kafka, settings.deadletters_topic, settings.ingestor_deadletter_seconds)
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._drained = True
        self._running: asyncio.Task[None] | None = None
        self._memory = StateMemory(settings.ingestor_state_bytes)
        self._owned = AssignedPartitions(self._kafka, store, self._make_flusher)
        self._watch = LogWatch(self._kafka, store, settings.events_topic, self._owned)
        telemetry.gauge("stepwell_ingestor_buffer_limit_bytes", settings.ingestor_buffer_bytes)

    async def run(self) -> None:
        """Consume until `stop()`, then store what is buffered."""
        self._running = asyncio.current_task()
        collect_rarely()
        try:
            await self._start()
            self._watch.start()
            while not self._stopping.is_set():
                await self._turn()
            await self._drain()
        finally:
            self._owned.close()
            self._letters.close()
            self._watch.close()
            try:
                await self._kafka.stop()
            finally:
                self._ended.set()

    async def _start(self) -> None:
        starting = asyncio.create_task(self._kafka.start(self._settings.events_topic, self._owned))
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting

    async def stop(self) -> bool:
        """Ask `run()` to store what is buffered and to end; return when it has ended, after 9 s at the latest.

        Returns:
            False if messages that were read are not stored (the next ingestor reads them again), or if `run()` hangs.
        """
        self._stopping.set()
        if await self._has_ended(_DRAIN_SECONDS + LEAVE_SECONDS):
            return self._drained
        if self._running is not None:
            self._running.cancel()
        await self._has_ended(LEAVE_SECONDS)
        return False

    async def _has_ended(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()

    def status(self) -> IngestorStatus:
        """Return the current backlog."""
        owned = self._owned.partitions
        lag = 0
        for partition, part in owned.items():
            end, settled = self._kafka.highwater(partition), part.buffer.next_offset
            if end is not None and settled is not None:
                # Transaction markers occupy offsets but are not events. With an empty buffer, count from the position.
                read_to = self._kafka.read_to(partition) if part.buffer.is_empty else None
                lag += max(end - max(settled, read_to or 0), 0)
        return IngestorStatus(
            buffered_bytes=sum(part.buffer.bytes for part in owned.values()),
            lag_events=lag,
            partitions=len(owned),
            paused=sum(part.paused for part in owned.values()),
            last_flush_at=self._last_flush_at,
        )

    async def _turn(self) -> None:
        self._watch.check()
        self._owned.find_positions()
        fetched = await self._kafka.poll(_POLL_SECONDS)
        now = asyncio.get_running_loop().time()
        for partition, messages in fetched.items():
            self._owned.add(partition, messages, now)
        for partition, owned in list(self._owned.partitions.items()):
            if owned.task is not None and owned.task.done():
                self._settle(partition, owned.task)
                owned.task = None
            if owned.stale and owned.task is None:
                self._owned.restart_partition(partition)
                continue
            if owned.task is None and owned.ready and not owned.buffer.is_empty:
                await self._flush_when_due(partition, owned, now)
        self._letters.probe()
        self._owned.balance(self._settings.ingestor_buffer_bytes)
        self._report()

    async def _flush_when_due(self, partition: TopicPartition, owned: PartitionState, now: float) -> None:
        # Only a plan needs the position; `position` blocks while a rebalance is in progress.
        position = 0 if owned.buffer.plan is None else await self._kafka.position(partition)
        if position is None or self._owned.partitions.get(partition) is not owned:
            return
        if owned.buffer.is_due(self._policy, position, now):
            owned.task = asyncio.create_task(self._flush(owned))

    def _settle(self, partition: TopicPartition, task: asyncio.Task[None]) -> None:
        try:
            task.result()
        except (KafkaError, RestartError) as error:
            _log.warning("flush_failed", partition=partition.partition, error=str(error))
            self._owned.restart_partition(partition, plan_is_void=isinstance(error, PlanError))

    async def _flush(self, owned: PartitionState) -> None:
        pending = owned.buffer.next_flush(self._policy)
        plan = await owned.flusher.flush(pending)
        owned.buffer.settle(pending, asyncio.get_running_loop().time())
        self._last_flush_at = time.time()
        telemetry.count("stepwell_ingestor_events", len(pending.messages))
        telemetry.count("stepwell_ingestor_points", plan.points)
        telemetry.count("stepwell_ingestor_repeated_records", plan.repeated)
        telemetry.count("stepwell_ingestor_step_conflicts", plan.conflicts)
        telemetry.count("stepwell_ingestor_flushes")
        report_early(plan.early)
        report_shared_writers(plan.shared_writers)
        report_differences(plan.differing)
        telemetry.count("stepwell_ingestor_late_records", plan.late)
        report_forgotten(plan.forgotten)
        report_times(plan.replaced_times)
        self._alarm.report(pending.messages, plan.dead)
        telemetry.gauge("stepwell_ingestor_last_flush_timestamp_seconds", self._last_flush_at)
        telemetry.gauge("stepwell_ingestor_state_bytes", self._memory.bytes)

    def _report(self) -> None:
        status = self.status()
        if status == self._reported:
            return
        self._reported = status
        telemetry.gauge("stepwell_ingestor_lag_events", status.lag_events)
        telemetry.gauge("stepwell_ingestor_buffered_bytes", status.buffered_bytes)
        telemetry.gauge("stepwell_ingestor_paused_partitions", status.paused)

    async def _drain(self) -> None:
        try:
            await asyncio.wait_for(self._flush_everything(), _DRAIN_SECONDS)
        except (KafkaError, StoreUnavailableError, RestartError, TimeoutError) as error:
            # The remaining events are still in Kafka, for the next ingestor.
            self._drained = False
            _log.warning("drain_incomplete", error=repr(error))

    async def _flush_everything(self) -> None:
        for partition, owned in list(self._owned.partitions.items()):
            if owned.task is not None:
                await owned.task
            # A rebalance may revoke the partition in the meantime; it waits for `owned.task` only.
            while self._may_drain(partition, owned):
                owned.task = asyncio.create_task(self._flush(owned))
                await owned.task

    def _may_drain(self, partition: TopicPartition, owned: PartitionState) -> bool:
        still_owned = self._owned.partitions.get(partition) is owned
        usable = still_owned and owned.ready and not owned.stale
        return usable and owned.buffer.plan is None and not owned.buffer.is_empty

    def _make_flusher(self, partition: TopicPartition) -> Flusher:
        return Flusher(
            partition,
            store=self._store,
            media=self._media,
            kafka=self._kafka,
            letters=self._letters,
            codec=Codec(),
            states=self._memory.cache(),
            retry_seconds=self._settings.ingestor_retry_seconds,
        )
