"""Committed offsets of a consumer group, and the plans in their metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

_NO_PLAN: Final = "stored"
"""The metadata of an ingestor's commit without a plan."""

BY_HAND: Final = "-"
"""In place of a plan: a commit that an ingestor repeats, and that was not made by one."""


class CommittedOffset(NamedTuple):
    """A partition's committed offset (None if there is none) and the plan in its metadata ("" if there is none).

    `by_hand`: it has no plan, and no mark of an ingestor: Kafka's tools have set it, or an earlier version.
    """

    offset: int | None
    plan: str
    by_hand: bool = False


def commit_metadata(plan: str) -> str:
    """Return the metadata of a commit with a plan, "" for none, or BY_HAND."""
    return plan or _NO_PLAN


def read_commit(offset: int, metadata: str) -> CommittedOffset:
    """Return a commit from its metadata."""
    if metadata == _NO_PLAN:
        return CommittedOffset(offset, "")
    by_hand = metadata in {"", BY_HAND}
    return CommittedOffset(offset, "" if by_hand else metadata, by_hand)


async def fetch_committed(
    admin: AIOKafkaAdminClient, group: str, partitions: Sequence[TopicPartition]
) -> Mapping[TopicPartition, CommittedOffset]:
    """Return a group's commits for these partitions. Raises: KafkaError, also if the broker's answer is incomplete."""
    found = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
    # A broker that has just lost the group, or is still loading it, answers with an error code that aiokafka drops,
    # and without offsets. For a partition without a commit the answer is -1: a missing partition means "unknown".
    if any(partition not in found for partition in partitions):
        raise GroupCoordinatorNotAvailableError("the group coordinator returned no committed offsets")
    return {
        partition: read_commit(found[partition].offset, found[partition].metadata)
        if found[partition].offset >= 0
        else CommittedOffset(None, "")
        for partition in partitions
    }
