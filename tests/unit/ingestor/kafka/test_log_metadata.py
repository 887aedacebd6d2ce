"""The identity of a log: the metadata request with topic ids, and brokers that have none."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast
from uuid import UUID

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from stepwell_ingestor.kafka import log_metadata
from stepwell_ingestor.kafka.log_metadata import LogIdentity, describe_log

pytestmark = pytest.mark.anyio

TOPIC_ID = UUID("01234567-89ab-cdef-0123-456789abcdef")


class Broker:
    """Answers metadata requests in the highest version that it has, encoded as on the wire."""

    def __init__(self, newest: int, error: int = 0) -> None:
        self._newest = newest
        self._error = error

    async def _send_request(self, request: Any) -> Any:
        built = request.prepare({3: (0, self._newest)})
        assert type(built).decode(built.encode()).topics == [(UUID(int=0), "events", {})]
        response = log_metadata._TopicIdResponse
        partitions: list[tuple[Any, ...]] = [(0, number, 1, 0, [1], [1], [], {}) for number in range(3)]
        topic: tuple[Any, ...] = (self._error, "events", TOPIC_ID, False, partitions, -(2**31), {})
        return response.decode(BytesIO(response(0, [(1, "h", 9, None, {})], "cluster", 1, [topic], {}).encode()))

    async def _get_cluster_metadata(self, topics: list[str]) -> Any:
        return self

    def to_object(self) -> dict[str, Any]:
        """Return an answer without topic ids."""
        return {"cluster_id": None, "topics": [{"error_code": self._error, "partitions": [{}, {}]}]}


async def describe(broker: Broker) -> LogIdentity:
    return await describe_log(cast("AIOKafkaAdminClient", broker), "events")


@pytest.mark.parametrize("newest", [12, 13])
async def test_a_broker_gives_the_topic_s_id(newest: int) -> None:
    assert await describe(Broker(newest)) == LogIdentity("cluster", str(TOPIC_ID), 3)


async def test_an_old_broker_gives_none() -> None:
    assert await describe(Broker(9)) == LogIdentity("", "", 2)


@pytest.mark.parametrize("newest", [9, 12])
async def test_an_error_of_the_topic_is_raised(newest: int) -> None:
    with pytest.raises(UnknownTopicOrPartitionError):
        await describe(Broker(newest, 3))
    with pytest.raises(TopicAuthorizationFailedError):
        await describe(Broker(newest, 29))
