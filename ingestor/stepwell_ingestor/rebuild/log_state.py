"""The state of the log and of the ingestors' group, as Kafka describes it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from stepwell_ingestor.errors import ReplayError
from stepwell_ingestor.kafka.committed_offsets import fetch_committed
from stepwell_ingestor.kafka.log_metadata import LogIdentity, describe_log
from stepwell_ingestor.rebuild.ranges import PartitionLog
from stepwell_ingestor.settings import IngestorSettings

_TRIES: Final = 20
_RETRY_SECONDS: Final = 0.25


class LogState(NamedTuple):
    """The events topic's log with its partitions, and the number of members of the ingestors' group."""

    log: LogIdentity
    partitions: tuple[PartitionLog, ...]
    members: int


async def read_log_state(settings: IngestorSettings) -> LogState:
    """Return the state of the log and the group.

    Raises:
        ReplayError: if there is no topic.
        KafkaError: if the brokers can't be reached or refuse.
    """
    admin = AIOKafkaAdminClient(**settings.kafka_connection())
    consumer = AIOKafkaConsumer(**settings.kafka_connection(), enable_auto_commit=False)
    try:
        await admin.start()
        await consumer.start()
        names = await _partitions(admin, settings)
        log = await describe_log(admin, settings.events_topic)
        begins, ends = await consumer.beginning_offsets(names), await consumer.end_offsets(names)
        committed = await fetch_committed(admin, settings.ingestor_group, names)
        members = await _count_members(admin, settings.ingestor_group)
    finally:
        # aiokafka's consumer without a group raises CancelledError for its own tasks if stopped soon after its start.
        with suppress(asyncio.CancelledError):
            await consumer.stop()
        await admin.close()
    return LogState(
        log,
        tuple(
            PartitionLog(
                name.partition,
                begins[name],
                ends[name],
                committed[name].offset,
                committed[name].plan,
            )
            for name in names
        ),
        members,
    )


async def _partitions(admin: AIOKafkaAdminClient, settings: IngestorSettings) -> list[TopicPartition]:
    topic = settings.events_topic
    # Describing a single topic would create it.
    topics = {described["topic"]: described for described in await admin.describe_topics()}
    if topic not in topics:
        raise ReplayError(f"Kafka at {settings.kafka_bootstrap_servers} has no topic {topic}")
    return sorted(TopicPartition(topic, part["partition"]) for part in topics[topic]["partitions"])


async def _count_members(admin: AIOKafkaAdminClient, group: str) -> int:
    for number in range(_TRIES):
        try:
            # The group coordinator may be moving to another broker, or still be loading the group.
            (answer,) = await admin.describe_consumer_groups([group])
            ((code, _, _, _, _, members, *_),) = answer.groups
            if code:
                raise for_code(code)(f"group {group}")
            return len(members)
        except KafkaError:
            if number == _TRIES - 1:
                raise
        await asyncio.sleep(_RETRY_SECONDS)
    raise AssertionError("the last try returns or raises")
