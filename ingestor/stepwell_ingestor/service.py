"""An ingestor: a member of the consumer group that carries events from Kafka into ClickHouse."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stepwell_ingestor import metrics
from stepwell_ingestor.batching import FlushPolicy, cut
from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.flushing import Flusher
from stepwell_ingestor.messages import Message
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse import Store
from stepwell_schemas.codec import Codec
from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB

_POLL_MILLISECONDS: Final = 50
_DRAIN_SECONDS: Final = 30.0
# A topic that is created, or grows, after the start is noticed within this time.
_METADATA_MILLISECONDS: Final = 2_000
_log = structlog.get_logger()


class IngestorStatus(NamedTuple):
    """What an ingestor holds and has not settled: bytes in memory, events behind, partitions, paused ones."""

    buffered_bytes: int
    lag_events: int
    partitions: int
    paused: int


@dataclass
class _Partition:
    """What one partition has in memory: its messages, when the first came, its unfinished plan, its flush.

    Messages may come while the plan that an owner before left is still being read: nothing is stored before `ready`.
    """

    flusher: Flusher
    ready: bool = False
    planned_end: int | None = None
    messages: list[Message] = field(default_factory=list)
    bytes: int = 0
    first_at: float | None = None
    task: asyncio.Task[None] | None = None
    paused: bool = False
    settled: int | None = None


class Ingestor:
    """Runs until `stop()`; `run()` raises what makes going on pointless (a refused statement, a lost plan)."""

    def __init__(self, settings: IngestorSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._policy = FlushPolicy(settings.ingestor_flush_bytes, settings.ingestor_flush_seconds)
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._consumer = AIOKafkaConsumer(
            **settings.kafka_connection(),
            group_id=settings.ingestor_group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            metadata_max_age_ms=_METADATA_MILLISECONDS,
            max_partition_fetch_bytes=MAX_EVENT_BYTES + MIB,
        )
        self._producer = AIOKafkaProducer(
            **settings.kafka_connection(), acks="all", enable_idempotence=True, max_request_size=2 * MAX_EVENT_BYTES
        )
        metrics.gauge("stepwell_ingestor_buffer_limit_bytes", settings.ingestor_buffer_bytes)

    async def run(self) -> None:
        """Take part in the group until `stop()`; what is buffered then is stored first."""
        await self._producer.start()
        await self._consumer.start()
        try:
            self._consumer.subscribe([self._settings.events_topic], listener=_Listener(self))
            while not self._stopping.is_set():
                await self._turn()
            await asyncio.wait_for(self._drain(), _DRAIN_SECONDS)
        finally:
            await self._consumer.stop()
            await self._producer.stop()
            self._stopped.set()

    async def stop(self) -> None:
        """Ask `run()` to store what is buffered and end; returns when it has."""
        self._stopping.set()
        await self._stopped.wait()

    def status(self) -> IngestorStatus:
        """Return what is held and not settled."""
        lag = 0
        for partition, held in self._partitions.items():
            end = self._consumer.highwater(partition)
            settled = held.settled if held.settled is not None else (held.messages[0].offset if held.messages else end)
            lag += max((end or 0) - (settled or 0), 0)
        return IngestorStatus(
            sum(held.bytes for held in self._partitions.values()),
            lag,
            len(self._partitions),
            sum(held.paused for held in self._partitions.values()),
        )

    async def _turn(self) -> None:
        fetched = await self._consumer.getmany(timeout_ms=_POLL_MILLISECONDS)
        now = time.monotonic()
        for partition, records in fetched.items():
            held = self._hold(partition)
            messages = [Message(r.offset, r.timestamp, r.key, r.value or b"") for r in records]
            held.messages += messages
            held.bytes += sum(len(message.value) for message in messages)
            held.first_at = now if held.first_at is None else held.first_at
        for partition, held in list(self._partitions.items()):
            if held.task is not None and held.task.done():
                held.task.result()
                held.task = None
            if held.task is None and await self._is_due(partition, held, now):
                held.task = asyncio.create_task(self._flush(partition, held))
        self._balance()
        self._report()

    async def _is_due(self, partition: TopicPartition, held: _Partition, now: float) -> bool:
        if not held.ready:
            return False
        if held.planned_end is None:
            return self._policy.is_due(held.bytes, held.first_at, now)
        if not held.messages:
            return False
        position: int = await self._consumer.position(partition)
        return position >= held.planned_end

    async def _flush(self, partition: TopicPartition, held: _Partition) -> None:
        planned = held.planned_end
        if planned is not None:
            count = sum(message.offset < planned for message in held.messages)
            if not count:
                raise PlanError(f"{partition}: the log no longer holds the planned offsets before {planned}")
        else:
            count = cut([len(message.value) for message in held.messages], self._policy.max_bytes)
        messages = held.messages[:count]
        end = messages[-1].offset + 1 if planned is None else planned
        plan = await held.flusher.flush(messages, end, planned is not None)
        del held.messages[:count]
        held.bytes -= sum(len(message.value) for message in messages)
        held.planned_end, held.settled = None, end
        held.first_at = time.monotonic() if held.messages else None
        metrics.count("stepwell_ingestor_events", count)
        metrics.count("stepwell_ingestor_points", plan.points)
        metrics.count("stepwell_ingestor_repeated_records", plan.repeated)
        metrics.count("stepwell_ingestor_step_conflicts", plan.conflicts)
        metrics.count("stepwell_ingestor_flushes")
        metrics.gauge("stepwell_ingestor_last_flush_timestamp_seconds", time.time())

    def _balance(self) -> None:
        """Pause partitions while memory is full: a paused partition keeps its place in the group."""
        full = sum(held.bytes for held in self._partitions.values()) >= self._settings.ingestor_buffer_bytes
        for partition, held in self._partitions.items():
            if full and held.messages and not held.paused:
                self._consumer.pause(partition)
                held.paused = True
            elif not full and held.paused:
                self._consumer.resume(partition)
                held.paused = False

    def _report(self) -> None:
        status = self.status()
        metrics.gauge("stepwell_ingestor_lag_events", status.lag_events)
        metrics.gauge("stepwell_ingestor_buffered_bytes", status.buffered_bytes)
        metrics.gauge("stepwell_ingestor_paused_partitions", status.paused)

    async def _drain(self) -> None:
        for partition, held in self._partitions.items():
            if held.task is not None:
                await held.task
            while held.ready and held.messages and held.planned_end is None:
                await self._flush(partition, held)

    async def assigned(self, partitions: set[TopicPartition]) -> None:
        """Take over partitions: read the plan that an owner before may have left."""
        holders = {partition: self._hold(partition) for partition in partitions}
        admin = AIOKafkaAdminClient(**self._settings.kafka_connection())
        await admin.start()
        try:
            committed = await admin.list_consumer_group_offsets(
                self._settings.ingestor_group, partitions=list(partitions)
            )
        finally:
            await admin.close()
        for partition, held in holders.items():
            left = committed.get(partition)
            held.planned_end = int(left.metadata) if left is not None and left.metadata else None
            if held.planned_end is not None:
                _log.info("repeating an unfinished flush", partition=partition.partition, end=held.planned_end)
            held.ready = True

    def _hold(self, partition: TopicPartition) -> _Partition:
        if partition not in self._partitions:
            flusher = Flusher(
                partition,
                store=self._store,
                consumer=self._consumer,
                producer=self._producer,
                deadletters_topic=self._settings.deadletters_topic,
                codec=Codec(),
                runs_in_memory=self._settings.ingestor_runs_in_memory,
                retry_seconds=self._settings.ingestor_retry_seconds,
            )
            self._partitions[partition] = _Partition(flusher)
        return self._partitions[partition]

    async def revoked(self, partitions: set[TopicPartition]) -> None:
        """Give partitions up: flushes under way end first, what is only buffered is the next owner's to read."""
        for partition in partitions:
            held = self._partitions.pop(partition, None)
            if held is not None and held.task is not None:
                await held.task


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, ingestor: Ingestor) -> None:
        self._ingestor = ingestor

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._ingestor.assigned(assigned)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._ingestor.revoked(revoked)
