"""What the ingest loop asks of Kafka, and the aiokafka clients that answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    CommitFailedError,
    CorrelationIdError,
    GroupCoordinatorNotAvailableError,
    IllegalStateError,
    KafkaConnectionError,
    RequestTimedOutError,
)
from aiokafka.structs import OffsetAndMetadata

from stepwell_ingestor.errors import CommitInDoubtError
from stepwell_ingestor.kafka.deadletter_topic import create_deadletters_topic
from stepwell_ingestor.kafka.record_consumer import RecordConsumer
from stepwell_ingestor.kafka.records import Record, Unreadable
from stepwell_ingestor.messages import Fault, Message, origin_of
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.limits import FETCH_RECORDS, MAX_EVENT_BYTES, MIB

# A topic that is created, or grows, after the start is noticed within this time.
_METADATA_MILLISECONDS: Final = 2_000
_HEARTBEATS_A_SESSION: Final = 3
_MILLISECONDS: Final = 1_000
_START_RETRY_SECONDS: Final = 2.0
LEAVE_SECONDS: Final = 2.0
"""Time to leave the group and disconnect."""

# What aiokafka raises when a request may have left and no answer came.
_UNANSWERED: Final = (RequestTimedOutError, KafkaConnectionError, CorrelationIdError)
_log = structlog.get_logger()


class Committed(NamedTuple):
    """What the group has committed of a partition: the next offset, None before the first; the plan, "" for none."""

    offset: int | None
    plan: str


def message_of(record: Record | Unreadable) -> Message:
    """Return a record as the planner takes it."""
    if isinstance(record, Unreadable):
        fault = Fault(record.first, record.detail)
        return Message(record.offset, record.timestamp, None, b"", fault=fault)
    return Message(record.offset, record.timestamp, record.key, record.value or b"", origin_of(record.headers))


async def committed_of(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]
) -> Mapping[TopicPartition, Committed]:
    """Return what a group has committed of each of these partitions. Raises: KafkaError, also while it is not known."""
    found = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
    # A broker that just lost, or is still loading, the group answers with nothing, and aiokafka drops its error
    # code. For a partition without a commit the answer is -1: what is missing is not known, not absent.
    if any(partition not in found for partition in partitions):
        raise GroupCoordinatorNotAvailableError("the group's broker does not tell what is committed")
    return {
        partition: Committed(found[partition].offset, found[partition].metadata)
        if found[partition].offset >= 0
        else Committed(None, "")
        for partition in partitions
    }


class Rebalanced(Protocol):
    """Who is told what the group gives to this member and takes away; must not raise."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Begin to hold partitions."""

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Let partitions go; the group waits for the end of this call, for as long as a session lasts."""


class Kafka(Protocol):
    """A member of a consumer group, and a producer. What fails raises a `KafkaError`."""

    async def start(self, topic: str, rebalanced: Rebalanced) -> None:
        """Connect, and join the group for a topic."""

    async def stop(self) -> None:
        """Leave the group and disconnect."""

    async def poll(self, seconds: float) -> Mapping[TopicPartition, list[Message]]:
        """Return what was read, waiting for it up to `seconds`; a member that does not ask leaves its group."""

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Committed]:
        """Return what is committed of each of these partitions."""

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit an offset with its plan, as the member that the group gave the partition to and as no other.

        Raises: CommitInDoubtError when it was sent and not answered; any other KafkaError when it was not done.
        """

    async def rejoin(self, partition: TopicPartition) -> None:
        """Leave the group, if this member still is the one that the partition was given to, and join it anew.

        Returns when the group was told. If that was in vain, the session's end does it; until the member has joined,
        it commits nothing, and by then the group refuses what it sent before.
        """

    async def position(self, partition: TopicPartition) -> int | None:
        """Return the offset that is read next, None for a partition that is not this member's. Waits for rebalances."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from an offset. Raises: IllegalStateError when the partition is not this member's."""

    def pause(self, partition: TopicPartition) -> None:
        """Read no more of a partition."""

    def resume(self, partition: TopicPartition) -> None:
        """Read a paused partition again."""

    def assignment(self) -> set[TopicPartition]:
        """Return the partitions that are this member's now."""

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the end of a partition's log as last heard, None while nothing was heard or it is another's."""

    def read_to(self, partition: TopicPartition) -> int | None:
        """Return the offset that is read next, as last known; what lies before it may hold no records."""

    async def has_topic(self, topic: str) -> bool:
        """Tell if a topic is there. Raises: KafkaError."""

    async def create_deadletters_topic(self, topic: str) -> None:
        """Create the topic of dead letters. Raises: KafkaError when the broker refuses."""

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        """Put a message on its way; the answer is done when the broker has it."""


class AiokafkaClients(ConsumerRebalanceListener):  # type: ignore[misc]
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
        # Not idempotent: once the broker has refused a message for its size, aiokafka's numbering has a gap, and the
        # broker takes nothing more of this producer. A letter that comes twice is told by its origin.
        self._producer = AIOKafkaProducer(
            **settings.kafka_connection(), acks="all", max_request_size=2 * MAX_EVENT_BYTES
        )
        self._admin = AIOKafkaAdminClient(**settings.kafka_connection())
        self._events_topic = settings.events_topic
        self._rebalanced: Rebalanced
        self._given: dict[TopicPartition, tuple[int, str]] = {}

    async def start(self, topic: str, rebalanced: Rebalanced) -> None:
        """Connect, for as long as no broker can be reached, and join the group for a topic."""
        self._rebalanced = rebalanced
        for client in (self._admin, self._producer, self._consumer):
            await _started(client)
        self._consumer.subscribe([topic], listener=self)

    async def stop(self) -> None:
        """Leave the group and disconnect; a broker that does not answer is left without a word."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._consumer.stop()
                await self._producer.stop()
                await self._admin.close()
        except TimeoutError:
            # The group notices that this member has gone when its session ends.
            _log.warning("group_not_left", seconds=LEAVE_SECONDS)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Remember as whom the partitions were given to this member. Runs before their first message can come."""
        self._given = dict.fromkeys(assigned, self._present_membership())
        await self._rebalanced.on_partitions_assigned(assigned)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Pass it on."""
        await self._rebalanced.on_partitions_revoked(revoked)

    async def poll(self, seconds: float) -> Mapping[TopicPartition, list[Message]]:
        """Return what was read, waiting for it up to `seconds`."""
        fetched = await self._consumer.getmany(timeout_ms=round(seconds * _MILLISECONDS), max_records=FETCH_RECORDS)
        return {partition: [message_of(record) for record in records] for partition, records in fetched.items()}

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Committed]:
        """Return what is committed of each of these partitions."""
        return await committed_of(self._admin, self._group, partitions)

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit an offset with its plan, as the member that the group gave the partition to and as no other."""
        # aiokafka's own `commit` signs with whatever membership it has when the request leaves: none at all once the
        # group threw this member out, which the broker takes while the group is empty, or a later one after a retry.
        # And the broker looks at the membership alone, not at whose the partition is. Each would undo what the
        # partition's next owner has committed.
        coordinator = self._consumer._coordinator
        await coordinator.ensure_coordinator_known()
        if self._given.get(partition) != self._present_membership():
            raise CommitFailedError("the group has taken the partition from this member, or has thrown it out")
        try:
            await coordinator._do_commit_offsets(None, {partition: OffsetAndMetadata(offset, plan)})
        except _UNANSWERED as error:
            raise CommitInDoubtError(f"the broker has not answered a commit: {error!r}") from error

    async def rejoin(self, partition: TopicPartition) -> None:
        """Leave the group as the member that the partition was given to; aiokafka joins it anew by itself."""
        coordinator = self._consumer._coordinator
        await coordinator.ensure_coordinator_known()
        if self._given.get(partition) == self._present_membership():
            await coordinator._maybe_leave_group()

    def _present_membership(self) -> tuple[int, str]:
        coordinator = self._consumer._coordinator
        return coordinator.generation, coordinator.member_id

    async def position(self, partition: TopicPartition) -> int | None:
        """Return the offset that is read next, None for a partition that is not this member's."""
        try:
            position: int = await self._consumer.position(partition)
        except IllegalStateError:
            return None
        return position

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from an offset."""
        self._consumer.seek(partition, offset)

    def pause(self, partition: TopicPartition) -> None:
        """Read no more of a partition."""
        self._consumer.pause(partition)

    def resume(self, partition: TopicPartition) -> None:
        """Read a paused partition again."""
        self._consumer.resume(partition)

    def assignment(self) -> set[TopicPartition]:
        """Return the partitions that are this member's now."""
        return set(self._consumer.assignment())

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the end of a partition's log as last heard."""
        end: int | None = self._consumer.highwater(partition) if partition in self.assignment() else None
        return end

    def read_to(self, partition: TopicPartition) -> int | None:
        """Return the offset that is read next, as last known."""
        if partition not in self.assignment():
            return None
        state = self._consumer._subscription.subscription.assignment.state_value(partition)
        position: int | None = state.position if state.has_valid_position else None
        return position

    async def has_topic(self, topic: str) -> bool:
        """Tell if a topic is there."""
        return topic in await self._admin.list_topics()

    async def create_deadletters_topic(self, topic: str) -> None:
        """Create the topic of dead letters."""
        await create_deadletters_topic(self._admin, topic, self._events_topic)

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        """Put a message on its way."""
        on_its_way: Awaitable[Any] = await self._producer.send(topic, value, key=key, headers=list(headers))
        return on_its_way


async def _started(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    while True:
        try:
            await client.start()
            return
        except KafkaConnectionError as error:
            _log.warning("no broker can be reached; trying again", seconds=_START_RETRY_SECONDS, error=str(error))
        await asyncio.sleep(_START_RETRY_SECONDS)
