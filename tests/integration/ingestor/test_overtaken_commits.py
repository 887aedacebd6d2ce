"""The fence against overtaken commits, with the real broker: what was sent before the group was left is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError, UnknownMemberIdError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest

from stepwell_ingestor.errors import CommitInDoubtError
from stepwell_ingestor.kafka.client import AiokafkaClients
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset, commit_metadata
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from support.servers.group import member, until_polled
from support.servers.ingest import a_batch, counted, make_ingestor_settings, send, until
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio

BATCHES, ROWS = 8, 5
POINTS = 2 * BATCHES * ROWS


class Overtaken(AiokafkaClients):
    """Reports some commits as unanswered, and lets the broker apply each after the next one that is answered.

    Attributes:
        answers: what the broker said to those; None where it carried them out.
        members: the membership of each commit.
    """

    def __init__(self, settings: IngestorSettings, given_up: frozenset[int] = frozenset()) -> None:
        super().__init__(settings)
        self.answers: list[type[KafkaError] | None] = []
        self.members: list[str] = []
        self._given_up = given_up
        self._late: list[OffsetCommitRequest] = []

    def request(self, partition: TopicPartition, offset: int, plan: str) -> OffsetCommitRequest:
        """Return a commit as the present member would send it."""
        generation, name = self._present_membership()
        topics = [(partition.topic, [(partition.partition, offset, commit_metadata(plan))])]
        return OffsetCommitRequest(self._group, generation, name, OffsetCommitRequest.DEFAULT_RETENTION_TIME, topics)

    async def carry_out(self, request: OffsetCommitRequest) -> type[KafkaError] | None:
        """Have the broker carry out a request now; return the error that it answers, if any."""
        coordinator = self._consumer._coordinator
        await coordinator.ensure_coordinator_known()
        client = self._consumer._client
        response = await client.send(coordinator.coordinator_id, request, group=ConnectionGroup.COORDINATION)
        ((_, ((_, code),)),) = response.topics
        error: type[KafkaError] = for_code(code)
        return error if code else None

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit, or keep the request for later and say that it is in doubt."""
        self.members.append(self._present_membership()[1])
        if len(self.members) in self._given_up:
            self._late.append(self.request(partition, offset, plan))
            raise CommitInDoubtError("given up by the test")
        await super().commit(partition, offset, plan)
        while self._late:
            self.answers.append(await self.carry_out(self._late.pop()))


async def test_a_commit_that_is_not_answered_is_in_doubt(broker: str, topics: Topics) -> None:
    partition = TopicPartition(topics.events, 0)
    async with member(AiokafkaClients(make_ingestor_settings(broker, topics)), topics) as (clients, assigned):
        await until_polled(lambda: partition in (assigned.partitions or ()), clients)
        committing = asyncio.create_task(clients.commit(partition, 0, "7"))
        while not commits_in_flight(clients):  # noqa: ASYNC110 - aiokafka has no event for it
            await asyncio.sleep(0)
        connection_with_a_commit(clients).close()
        with pytest.raises(CommitInDoubtError, match="has not answered"):
            await committing


def connection_with_a_commit(clients: AiokafkaClients) -> Any:
    """Return the connection on which a commit waits for its answer."""
    (connection,) = commits_in_flight(clients)
    return connection


def commits_in_flight(clients: AiokafkaClients) -> list[Any]:
    """Return the connections on which a commit waits for its answer."""
    return [
        connection
        for connection in clients._consumer._client._conns.values()
        if any("OffsetCommit" in type(request).__name__ for _, request, _ in connection._requests)
    ]


async def test_what_was_sent_before_the_group_was_left_is_refused(broker: str, topics: Topics) -> None:
    partition = TopicPartition(topics.events, 0)
    async with member(Overtaken(make_ingestor_settings(broker, topics)), topics) as (clients, assigned):
        await until_polled(lambda: partition in (assigned.partitions or ()), clients)
        await clients.commit(partition, 0, "7")
        late = clients.request(partition, 3, "")
        await clients.rejoin(partition)
        assert await clients.carry_out(late) is UnknownMemberIdError, "at once"
        await until_polled(lambda: assigned.partitions is None, clients)
        await until_polled(lambda: partition in (assigned.partitions or ()), clients)
        assert await clients.carry_out(late) is UnknownMemberIdError, "when the member is back under another name"
        await clients.rejoin(TopicPartition("another's", 0))
        assert await clients.committed([partition]) == {partition: CommittedOffset(0, "7")}
        await clients.commit(partition, 7, "")
        assert len(set(clients.members)) == 2


async def test_commits_that_are_carried_out_late_change_nothing(broker: str, topics: Topics, chdb_store: Store) -> None:
    batches = [encode(a_batch(number * ROWS, ROWS)) for number in range(BATCHES)]
    # Fewer bytes than the settings allow, so that there are four flushes at least.
    settings = make_ingestor_settings(broker, topics).model_copy(update={"ingestor_flush_bytes": 2 * len(batches[0])})
    # The plan of the first flush, the end of the second, the plan of the third.
    clients = Overtaken(settings, frozenset({1, 5, 7}))
    ingestor = Ingestor(settings, chdb_store, clients)
    running = asyncio.create_task(ingestor.run())
    await send(broker, topics.events, batches)
    await until(counted(chdb_store, "numbers"), POINTS)
    await until(lambda: (ingestor.status().lag_events, len(clients.answers)), (0, 3))
    await ingestor.stop()
    await running
    assert clients.answers == [UnknownMemberIdError] * 3
    assert len(set(clients.members)) == 4
    once = "SELECT count() AS points, uniqExact(key, step) AS places FROM {db}.points_number"
    assert chdb_store.query(once).to_pylist() == [{"points": POINTS, "places": POINTS}]
    names = ", ".join(f"max(totals).{name} AS {name}" for name in ("points", "log_rows", "repeated"))
    sums = f"SELECT {names} FROM {{db}}.run_activity"
    wanted = {"points": POINTS, "log_rows": BATCHES * ROWS, "repeated": 0}
    assert chdb_store.query(sums).to_pylist() == [wanted]
