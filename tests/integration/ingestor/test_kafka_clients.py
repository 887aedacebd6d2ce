"""The ingest loop's clients against the real broker: only the owner of a partition may commit."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from stepwell_ingestor.kafka.client import AiokafkaClients
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset
from support.servers.group import Assigned, member, until_polled
from support.servers.ingest import make_ingestor_settings
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio


def held(assigned: Assigned) -> int:
    """Return how many partitions a member has, -1 while the group decides."""
    return -1 if assigned.partitions is None else len(assigned.partitions)


async def test_a_member_that_was_thrown_out_commits_nothing(broker: str, topics: Topics) -> None:
    partition = TopicPartition(topics.events, 0)
    async with member(AiokafkaClients(make_ingestor_settings(broker, topics)), topics) as (clients, assigned):
        await until_polled(lambda: partition in (assigned.partitions or ()), clients)
        await clients.commit(partition, 0, "7")
        # As after a pause beyond the session: the group is empty, and the broker takes the commits of anybody.
        await clients._consumer._coordinator._maybe_leave_group()
        with pytest.raises(CommitFailedError):
            await clients.commit(partition, 7, "")
        assert await clients.committed([partition]) == {partition: CommittedOffset(0, "7")}


async def test_a_member_commits_for_no_other_s_partition(broker: str, topics: Topics) -> None:
    partition = TopicPartition(topics.events, 0)
    settings = make_ingestor_settings(broker, topics)
    one, two = member(AiokafkaClients(settings), topics), member(AiokafkaClients(settings), topics)
    async with one as first, two as second:
        await until_polled(lambda: held(first[1]) == held(second[1]) == 1, first[0], second[0])
        owner, other = (first, second) if partition in (first[1].partitions or ()) else (second, first)
        await owner[0].commit(partition, 0, "7")
        with pytest.raises(CommitFailedError):
            await other[0].commit(partition, 7, "")
        assert await owner[0].committed([partition]) == {partition: CommittedOffset(0, "7")}
