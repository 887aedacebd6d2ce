"""The interface between the ingest loop and Kafka, and its implementation over aiokafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CommitFailedError,
    CorrelationIdError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    RequestTimedOutError,
)
from aiokafka.structs import OffsetAndMetadata

from stepwell_ingestor.errors import CommitInDoubtError
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset, commit_metadata, fetch_committed
from stepwell_ingestor.kafka.deadletter_topic import create_deadletters_topic
from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.kafka.log_probe import LogProbe, ProbedLog
from stepwell_ingestor.kafka.record_consumer import RecordConsumer, to_message
from stepwell_ingestor.messages import Message
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.limits import FETCH_RECORDS, MAX_EVENT_BYTES, MIB

# A topic created, or extended by partitions, after the start is detected within this time.
_METADATA_MILLISECONDS: Final = 2_000
_HEARTBEATS_A_SESSION: Final = 3
_MILLISECONDS: Final = 1_000
_START_RETRY_SECONDS: Final = 2.0
_COORDINATOR_SECONDS: Final = 10.0
_COORDINATOR_RETRY_SECONDS: Final = 0.1
LEAVE_SECONDS: Final = 2.0
"""Timeout for leaving the group and disconnecting."""

# Errors of aiokafka for a request that may have been sent but was not answered.
_UNANSWERED: Final = (RequestTimedOutError, KafkaConnectionError, CorrelationIdError)
_log = structlog.get_logger()


class RebalanceCallbacks(Protocol):
    """Callbacks for changes of the partition assignment; they must not raise."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Handle assignment."""

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Handle revocation; the group waits for this call to return, up to the session timeout."""


class Kafka(Protocol):
    """A consumer group member and a producer. Failures raise a `KafkaError`."""

    async def start(self, topic: str, rebalanced: RebalanceCallbacks) -> None:
        """Connect, and join the group for a topic."""

    async def stop(self) -> None:
        """Leave the group and disconnect."""

    async def poll(self, seconds: float) -> Mapping[TopicPartition, list[Message]]:
        """Return messages, waiting for them up to `seconds`; a member that stops polling leaves its group."""

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        """Return the commits of these partitions."""

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit an offset with its plan, "" for none, under the membership that the partition was assigned to.

        Raises: CommitInDoubtError if it was sent and not answered; another KafkaError if it was not applied.
        """

    async def rejoin(self, partition: TopicPartition) -> None:
        """Leave the group, unless the membership that the partition was assigned to has ended already, and rejoin it.

        Returns once the leave request was sent. If the request is lost, the membership ends with its session. The
        member commits nothing until it has rejoined; by then the group rejects its earlier commits.
        """

    async def position(self, partition: TopicPartition) -> int | None:
        """Return the offset to read next, None for a partition that is not assigned. Waits for rebalances."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the offset to read next. Raises: IllegalStateError if the partition is not assigned."""

    def pause(self, partition: TopicPartition) -> None:
        """Stop reading a partition."""

    def resume(self, partition: TopicPartition) -> None:
        """Continue reading a paused partition."""

    def assignment(self) -> set[TopicPartition]:
        """Return the assigned partitions."""

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the last known end of a partition's log, None if it is unknown or the partition is not assigned."""

    def read_to(self, partition: TopicPartition) -> int | None:
        """Return the last known offset to read next; offsets before it may hold no records."""

    async def describe_log(self, topic: str) -> LogIdentity:
        """Return the identity of a topic's log. Raises: KafkaError, also if there is no such topic."""

    async def extents(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, LogExtent]:
        """Return the present range of offsets of each partition's log. Raises: KafkaError."""

    async def records(self, places: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Message | None]:
        """Return, for each partition, the record at an offset of its log, or the next one, without consuming it.

        Raises: KafkaError.
        """

    async def has_topic(self, topic: str) -> bool:
        """Return True if a topic exists. Raises: KafkaError."""

    async def create_deadletters_topic(self, topic: str) -> None:
        """Create the topic of dead letters. Raises: KafkaError if the broker refuses."""

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        """Enqueue a message; the returned awaitable completes once the broker has acknowledged it."""


class AiokafkaClients(ProbedLog, ConsumerRebalanceListener):  # type: ignore[misc]
    """`Kafka` over aiokafka: a consumer, a producer and an admin client."""

    def __init__(self, settings: IngestorSettings) -> None:
        self._group = settings.ingestor_group
        self._consumer = RecordConsumer(
            **settings.kafka_connection(),
            group_id=settings.ingestor_group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            metadata_max_age_ms=_METADATA_MILLISECONDS,
            fetch_max_bytes=2 * MAX_EVENT_BYTES,
            max_partition_fetch_bytes=MAX_EVENT_BYTES + MIB,
            session_timeout_ms=round(settings.ingestor_session_seconds * _MILLISECONDS),
            heartbeat_interval_ms=round(settings.ingestor_session_seconds * _MILLISECONDS / _HEARTBEATS_A_SESSION),
        )
        # Not idempotent: after the broker has rejected a message for its size, aiokafka's sequence numbers have a gap,
        # and the broker rejects all further messages. Duplicate letters are recognised by their origin.
        self._producer = AIOKafkaProducer(
            **settings.kafka_connection(), acks="all", max_request_size=2 * MAX_EVENT_BYTES
        )
        self._admin = AIOKafkaAdminClient(**settings.kafka_connection())
        self._probe = LogProbe(settings.kafka_connection(), self._admin)
        self._events_topic = settings.events_topic
        self._rebalanced: RebalanceCallbacks
        self._given: dict[TopicPartition, tuple[int, str]] = {}

    async def start(self, topic: str, rebalanced: RebalanceCallbacks) -> None:
        """Connect, retrying while no broker can be reached, and join the group for a topic."""
        self._rebalanced = rebalanced
        for client in (self._admin, self._producer, self._probe.consumer):
            await _started(client)
        await self._wait_for_coordinator()
        await _started(self._consumer)
        self._consumer.subscribe([topic], listener=self)

    async def _wait_for_coordinator(self) -> None:
        """Wait, for a limited time, until the group has a coordinator.

        The first request lets a new cluster create its topic of offsets. The consumer would log each refusal until then
        as an error.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_COORDINATOR_SECONDS):
                while True:
                    try:
                        await self._admin.find_coordinator(self._group)
                        return
                    except KafkaError as error:
                        if not error.retriable:
                            return
                    await asyncio.sleep(_COORDINATOR_RETRY_SECONDS)

    async def stop(self) -> None:
        """Leave the group and disconnect; give up if the broker does not answer in time."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await asyncio.gather(
                    self._consumer.stop(), self._producer.stop(), self._probe.stop(), self._admin.close()
                )
        except TimeoutError:
            # The group removes this member when its session times out.
            _log.warning("group_not_left", seconds=LEAVE_SECONDS)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Record the membership that the partitions were assigned to. Runs before their first message can arrive."""
        self._given = dict.fromkeys(assigned, self._present_membership())
        await self._rebalanced.on_partitions_assigned(assigned)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Forward the callback."""
        await self._rebalanced.on_partitions_revoked(revoked)

    async def poll(self, seconds: float) -> Mapping[TopicPartition, list[Message]]:
        """Return messages, waiting for them up to `seconds`."""
        fetched = await self._consumer.getmany(timeout_ms=round(seconds * _MILLISECONDS), max_records=FETCH_RECORDS)
        return {partition: [to_message(record) for record in records] for partition, records in fetched.items()}

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        """Return the commits of these partitions."""
        return await fetch_committed(self._admin, self._group, partitions)

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit an offset with its plan, under the membership that the partition was assigned to."""
        # aiokafka's own `commit` uses the membership at the time of sending. That is none after the group has removed
        # this member, which the broker accepts while the group is empty, or a later one after a retry. The broker
        # checks the membership only, not the owner of the partition. Either would overwrite commits of the
        # partition's next owner.
        coordinator = self._consumer._coordinator
        await coordinator.ensure_coordinator_known()
        if self._given.get(partition) != self._present_membership():
            raise CommitFailedError("the group has revoked the partition or removed this member")
        try:
            await coordinator._do_commit_offsets(None, {partition: OffsetAndMetadata(offset, commit_metadata(plan))})
        except _UNANSWERED as error:
            raise CommitInDoubtError(f"the broker has not answered a commit: {error!r}") from error

    async def rejoin(self, partition: TopicPartition) -> None:
        """Leave the group under the membership that the partition was assigned to; aiokafka rejoins by itself."""
        coordinator = self._consumer._coordinator
        await coordinator.ensure_coordinator_known()
        if self._given.get(partition) == self._present_membership():
            await coordinator._maybe_leave_group()

    def _present_membership(self) -> tuple[int, str]:
        coordinator = self._consumer._coordinator
        return coordinator.generation, coordinator.member_id

    async def position(self, partition: TopicPartition) -> int | None:
        """Return the offset to read next, None for a partition that is not assigned."""
        try:
            position: int = await self._consumer.position(partition)
        except IllegalStateError:
            return None
        return position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the offset to read next."""
        self._consumer.seek(partition, offset)

    def pause(self, partition: TopicPartition) -> None:
        """Stop reading a partition."""
        self._consumer.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        """Continue reading a paused partition."""
        self._consumer.resume(partition)

    def assignment(self) -> set[TopicPartition]:
        """Return the assigned partitions."""
        return set(self._consumer.assignment())

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the last known end of a partition's log."""
        end: int | None = self._consumer.highwater(partition) if partition in self.assignment() else None
        return end

    def read_to(self, partition: TopicPartition) -> int | None:
        """Return the last known offset to read next."""
        if partition not in self.assignment():
            return None
        state = self._consumer._subscription.subscription.assignment.state_value(partition)
        position: int | None = state.position if state.has_valid_position else None
        return position

    async def has_topic(self, topic: str) -> bool:
        """Return True if a topic exists."""
        return topic in await self._admin.list_topics()

    async def create_deadletters_topic(self, topic: str) -> None:
        """Create the topic of dead letters."""
        await create_deadletters_topic(self._admin, topic, self._events_topic)

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        """Enqueue a message."""
        on_its_way: Awaitable[Any] = await self._producer.send(topic, value, key=key, headers=list(headers))
        return on_its_way


async def _started(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    while True:
        try:
            await client.start()
            return
        except KafkaConnectionError as error:
            _log.warning("broker_unreachable", retry_seconds=_START_RETRY_SECONDS, error=str(error))
        await asyncio.sleep(_START_RETRY_SECONDS)
