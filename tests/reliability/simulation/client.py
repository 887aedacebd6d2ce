"""The ingest loop's `Kafka` over the simulated broker: a model of aiokafka's observable behaviour."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    GroupCoordinatorNotAvailableError,
    IllegalStateError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
)

from reliability.simulation.broker import Broker, DeadLetterRecord, Membership, SortedSet
from reliability.simulation.clock import Process
from reliability.simulation.world import SESSION_SECONDS, World
from stepwell_ingestor.errors import CommitInDoubtError
from stepwell_ingestor.kafka.client import RebalanceCallbacks
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset
from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.messages import Message

_HEARTBEAT_SECONDS: Final = SESSION_SECONDS / 3
_OUTSIDE: Final = Membership("", -1)
_MOST_RECORDS: Final = 12
_LATEST_ANSWER: Final = 5
T = TypeVar("T")


class SimulatedKafka:
    """One process's clients: a background task joins and rejoins the group, another sends heartbeats."""

    def __init__(self, world: World, broker: Broker, process: Process) -> None:
        self._world = world
        self._broker = broker
        self._process = process
        self._names = 0
        self._present = _OUTSIDE
        self._given: dict[TopicPartition, Membership] = {}
        self._assigned = SortedSet()
        self._positions: dict[TopicPartition, int] = {}
        self._highwater: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._rejoin = asyncio.Event()
        self._stable = asyncio.Event()
        self._joining = False
        self._tasks: list[asyncio.Task[None]] = []
        self._rebalanced: RebalanceCallbacks

    async def start(self, topic: str, rebalanced: RebalanceCallbacks) -> None:
        """Connect, and join the group."""
        self._rebalanced = rebalanced
        await self._ask(lambda: None)
        self._rejoin.set()
        self._tasks = [asyncio.create_task(self._coordinate()), asyncio.create_task(self._beat())]

    async def stop(self) -> None:
        """Leave the group."""
        if not self._process.alive:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._present != _OUTSIDE:
            name = self._present.member
            await self._ask(lambda: self._broker.leave(name))

    async def poll(self, seconds: float) -> Mapping[TopicPartition, list[Message]]:
        """Return some of the available records, or none although records are available."""
        await self._stable.wait()
        if fetched := self._fetched():
            return fetched
        # An answer never comes early, and on a busy machine late.
        await asyncio.sleep(self._world.rng.uniform(seconds, _LATEST_ANSWER * seconds))
        await self._stable.wait()
        return self._fetched()

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        """Return the committed offset and metadata, or fail."""
        if self._world.chance(self._world.faults.committed):
            await self._world.fail(self._process, GroupCoordinatorNotAvailableError())
        return await self._ask(lambda: {partition: self._broker.committed[partition] for partition in partitions})

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit in the membership of the assignment; or fail, before or after it was carried out."""
        faults, chance = self._world.faults, self._world.chance
        signed = self._present
        if self._given.get(partition) != signed:
            raise CommitFailedError("the group has taken the partition from this member, or has thrown it out")

        def land() -> None:
            self._broker.commit(signed, partition, offset, plan)

        if chance(faults.commit_before):
            await self._world.fail(self._process, NodeNotReadyError())
        elif chance(faults.commit_late):
            # The request is delayed, or never arrives; the client times out.
            if self._world.rng.random() < 0.8:
                self._world.later(self._world.rng.uniform(0.05, 2 * SESSION_SECONDS), self._land_late, land)
            await self._world.fail(self._process, CommitInDoubtError("no answer"), after=0.01)
        else:
            await self._ask(
                land, lost=CommitInDoubtError("the answer was lost") if chance(faults.commit_after) else None
            )

    async def rejoin(self, partition: TopicPartition) -> None:
        """Leave the group, or fail to, and join it again under another name."""
        left = self._present
        if self._given.get(partition) != left:
            return
        self._world.counts["rejoins"] += 1
        if self._world.chance(self._world.faults.leave):
            with suppress(KafkaError):
                await self._world.fail(self._process, RequestTimedOutError())
        else:
            await self._ask(lambda: self._broker.leave(left.member))
        if self._present == left:
            self._present = _OUTSIDE
            self._rejoin.set()

    async def position(self, partition: TopicPartition) -> int | None:
        """Return the next offset, None for a partition of another member; waits for rebalances."""
        await self._stable.wait()
        return self._position(partition) if partition in self._assigned else None

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue reading at an offset."""
        if partition not in self._assigned:
            raise IllegalStateError("the partition is not this member's")
        self._positions[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        """Pause a partition."""
        self._paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        """Resume a partition."""
        self._paused.discard(partition)

    def assignment(self) -> set[TopicPartition]:
        """Return the partitions that are assigned now."""
        return self._assigned

    def highwater(self, partition: TopicPartition) -> int | None:
        """Return the last known end of a partition's log."""
        return self._highwater.get(partition)

    def read_to(self, partition: TopicPartition) -> int | None:
        """Return the next offset."""
        return self._positions.get(partition)

    async def describe_log(self, topic: str) -> LogIdentity:
        """Return the identity of the log."""
        return await self._ask(self._broker.describe)

    async def extents(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, LogExtent]:
        """Return the range of offsets of each log."""
        logs = self._broker.logs
        return await self._ask(
            lambda: {partition: LogExtent(logs[partition].begin, logs[partition].end) for partition in partitions}
        )

    async def records(self, places: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Message | None]:
        """Return the first record of each log from an offset on."""

        def read() -> dict[TopicPartition, Message | None]:
            found = {partition: self._broker.logs[partition].read(offset, 1) for partition, offset in places.items()}
            return {partition: messages[0] if messages else None for partition, messages in found.items()}

        return await self._ask(read)

    async def has_topic(self, topic: str) -> bool:
        """Return true: all topics exist."""
        return bool(topic)

    async def create_deadletters_topic(self, topic: str) -> None:
        """Raise an error, since the topic exists."""
        raise TopicAlreadyExistsError(topic)

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        """Send a dead letter; it may fail before or after its arrival."""
        record = DeadLetterRecord(value, key, {name: text.decode() for name, text in headers})
        if self._world.chance(self._world.faults.send_before):
            return self._world.fail(self._process, RequestTimedOutError())
        lost = RequestTimedOutError() if self._world.chance(self._world.faults.send_after) else None
        return self._world.request(self._process, lambda: self._broker.dead_letters.append(record), answer_lost=lost)

    async def _ask(self, work: Callable[[], T], lost: KafkaError | None = None) -> T:
        return await self._world.request(self._process, work, answer_lost=lost)

    def _land_late(self, land: Callable[[], None]) -> None:
        self._world.counts["late commits"] += 1
        with suppress(CommitFailedError):
            land()

    def _position(self, partition: TopicPartition) -> int:
        position = self._positions.get(partition)
        if position is None:
            committed = self._broker.committed[partition].offset
            position = self._broker.logs[partition].begin if committed is None else committed
            self._positions[partition] = position
        return position

    def _fetched(self) -> dict[TopicPartition, list[Message]]:
        fetched = {}
        for partition in self._assigned:
            log, position = self._broker.logs[partition], self._position(partition)
            if not log.begin <= position <= log.end:
                # The offset is out of range, and the consumer starts at the log's beginning.
                position = self._positions[partition] = log.begin
            self._highwater[partition] = log.end
            if partition in self._paused or position >= log.end or self._world.chance(self._world.faults.empty):
                continue
            messages = log.read(position, self._world.rng.randint(1, _MOST_RECORDS))
            if messages:
                self._positions[partition] = messages[-1].offset + 1
                fetched[partition] = messages
        return fetched

    async def _coordinate(self) -> None:
        while True:
            await self._rejoin.wait()
            self._rejoin.clear()
            self._stable.clear()
            # aiokafka logs an exception of a callback, and continues.
            with suppress(Exception):
                await self._rebalanced.on_partitions_revoked(self._assigned)
            self._joining = True
            if self._present == _OUTSIDE:
                self._names += 1
                self._present = Membership(f"{self._process.name}.{self._names}", -1)
            name = self._present.member
            joined = await self._ask(partial(self._broker.join, name))
            self._present, self._assigned = await joined
            self._joining = False
            self._rejoin.clear()
            self._given = dict.fromkeys(self._assigned, self._present)
            self._positions, self._highwater, self._paused = {}, {}, set()
            await self._rebalanced.on_partitions_assigned(self._assigned)
            self._stable.set()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            asked = self._present
            if self._joining or asked == _OUTSIDE:
                continue
            if self._world.chance(self._world.faults.heartbeat):
                continue
            answer = await self._ask(partial(self._broker.heartbeat, asked))
            if self._joining or self._present != asked or answer == "ok":
                continue
            if answer == "unknown":
                self._present = _OUTSIDE
            self._rejoin.set()
