"""Checks of the log before a flush is planned: partitions that were added, and records that retention removed."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka import TopicPartition

from stepwell_ingestor.errors import PartitionsAddedError
from stepwell_ingestor.flush.buffer import FlushMessages
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.log_metadata import LogIdentity
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.gaps import count_removed, find_gaps
from stepwell_ingestor.positions.homes import may_have_moved


async def refuse_moved_runs(
    kafka: Kafka, partition: TopicPartition, messages: Sequence[Message], log: LogIdentity
) -> None:
    """Look at the topic if an event is in another partition than its key's, before anything of it is planned.

    Raises:
        PartitionsAddedError: if the topic has more partitions than `log`, the one that the tables follow.
        KafkaError: if the broker can't be asked.
    """
    topic, number = partition
    if may_have_moved(messages, number, log.partitions):
        present = await kafka.describe_log(topic)
        if present.partitions > log.partitions:
            raise PartitionsAddedError(topic, log.partitions, present.partitions)


async def count_removed_records(kafka: Kafka, partition: TopicPartition, pending: FlushMessages) -> int:
    """Return how many records retention removed from a flush before they were read. Raises: KafkaError.

    A plan that was found has none: the log still begins at its first offset, or it would be no plan any more.
    """
    gaps = find_gaps(pending.start, pending.messages)
    if pending.plan is not None or not gaps:
        return 0
    extents = await kafka.extents([partition])
    return count_removed(gaps, extents[partition].begin)
