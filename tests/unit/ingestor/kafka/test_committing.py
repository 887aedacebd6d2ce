"""Fenced commits: the group is left if a commit is in doubt and can't be verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError, NodeNotReadyError

from stepwell_ingestor.errors import CommitInDoubtError
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.committed_offsets import BY_HAND, CommittedOffset, commit_metadata, read_commit
from stepwell_ingestor.kafka.fenced_commit import commit

pytestmark = pytest.mark.anyio

PARTITION = TopicPartition("events", 0)


class Broker:
    """Answers one commit, and reports the committed offset unless it is None."""

    def __init__(self, answer: KafkaError | None, reported: CommittedOffset | None) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._reported = reported

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        self.asked.append("commit")
        if self._answer is not None:
            raise self._answer

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        self.asked.append("committed")
        if self._reported is None:
            raise NodeNotReadyError
        return dict.fromkeys(partitions, self._reported)

    async def rejoin(self, partition: TopicPartition) -> None:
        self.asked.append("rejoin")


@pytest.mark.parametrize(
    ("plan", "read"),
    [
        ("7", CommittedOffset(3, "7")),
        ("7:0000abcd:1", CommittedOffset(3, "7:0000abcd:1")),
        ("", CommittedOffset(3, "")),
        (BY_HAND, CommittedOffset(3, "", by_hand=True)),
    ],
)
def test_a_commit_is_read_as_it_was_made(plan: str, read: CommittedOffset) -> None:
    assert read_commit(3, commit_metadata(plan)) == read


def test_a_commit_without_metadata_was_made_by_hand() -> None:
    assert read_commit(3, "") == CommittedOffset(3, "", by_hand=True)


async def commit_with(broker: Broker) -> None:
    await commit(cast("Kafka", broker), PARTITION, 3, "7")


async def test_an_answered_commit_is_all() -> None:
    broker = Broker(None, None)
    await commit_with(broker)
    assert broker.asked == ["commit"]


async def test_a_refused_commit_leaves_the_member_where_it_is() -> None:
    broker = Broker(CommitFailedError(), None)
    with pytest.raises(CommitFailedError):
        await commit_with(broker)
    assert broker.asked == ["commit"]


async def test_a_commit_that_is_found_done_is_no_failure() -> None:
    broker = Broker(CommitInDoubtError(), CommittedOffset(3, "7"))
    await commit_with(broker)
    assert broker.asked == ["commit", "committed"]


@pytest.mark.parametrize(
    "reported", [CommittedOffset(3, ""), CommittedOffset(7, ""), CommittedOffset(None, ""), None], ids=str
)
async def test_a_commit_that_may_still_come_is_left_to_the_broker(reported: CommittedOffset | None) -> None:
    broker = Broker(CommitInDoubtError("no answer"), reported)
    with pytest.raises(CommitInDoubtError, match="no answer"):
        await commit_with(broker)
    assert broker.asked == ["commit", "committed", "rejoin"]
