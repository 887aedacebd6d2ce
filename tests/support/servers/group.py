"""Members of a test's consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from aiokafka import TopicPartition

from stepwell_ingestor.kafka.client import AiokafkaClients
from support.servers.stack import Topics

_DEADLINE_SECONDS = 60.0
Clients = TypeVar("Clients", bound=AiokafkaClients)


class Assigned:
    """Records the partitions of a group member; `partitions` is None during a rebalance."""

    def __init__(self) -> None:
        self.partitions: set[TopicPartition] | None = None

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Record the assigned partitions."""
        self.partitions = assigned

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Record the revocation."""
        self.partitions = None


@asynccontextmanager
async def member(clients: Clients, topics: Topics) -> AsyncIterator[tuple[Clients, Assigned]]:
    """Make clients a member of their group."""
    assigned = Assigned()
    await clients.start(topics.events, assigned)
    try:
        yield clients, assigned
    finally:
        await clients.stop()


async def until_polled(holds: Callable[[], bool], *polled: AiokafkaClients) -> None:
    """Poll until a condition holds, since a member that does not poll takes part in no rebalance."""
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while not holds():
            await asyncio.gather(*(clients.poll(0.05) for clients in polled))
