"""A simulated broker: logs with gaps, a consumer group with generations, commits with metadata."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError

from reliability.simulation.world import SESSION_SECONDS, World
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset, commit_metadata, read_commit
from stepwell_ingestor.kafka.log_metadata import LogIdentity
from stepwell_ingestor.messages import Message

_TICK_SECONDS: Final = SESSION_SECONDS / 4
_REJOIN_SECONDS: Final = 1.5 * SESSION_SECONDS


class SortedSet(set[TopicPartition]):
    """A set that iterates in sorted order, since the order of a set changes with Python's hash seed."""

    def __init__(self, elements: Iterable[TopicPartition] = ()) -> None:
        super().__init__(elements)
        self._order = sorted(super().__iter__())

    def __iter__(self) -> Iterator[TopicPartition]:
        return iter(self._order)


@dataclass
class Log:
    """The records of one partition, of the offsets [begin, end), in ascending order that need not be dense.

    A log that lost its end has another leader from then on. `homes` gets the partition of each key.
    """

    partition: int
    homes: dict[bytes, int]
    messages: list[Message] = field(default_factory=list)
    begin: int = 0
    end: int = 0
    leader_epoch: int = 0

    def append(self, message: Message, gap: int) -> None:
        """Append a record `gap` offsets after the end, as after a transaction's marker."""
        self.homes[message.key or b""] = self.partition
        self.messages.append(message._replace(offset=self.end + gap, leader_epoch=self.leader_epoch))
        self.end += gap + 1

    def read(self, position: int, limit: int) -> list[Message]:
        """Return at most `limit` records from an offset on."""
        first = bisect_left(self.messages, position, key=attrgetter("offset"))
        return self.messages[first : first + limit]

    def cut(self, count: int) -> None:
        """Lose the last records, as in a power cut."""
        self.leader_epoch += 1
        if lost := self.messages[max(len(self.messages) - count, 0) :]:
            self.end = lost[0].offset
            del self.messages[-len(lost) :]

    def expire(self, count: int) -> None:
        """Remove the first records, as retention does."""
        self.begin = self.messages[count].offset if count < len(self.messages) else self.end
        del self.messages[:count]

    @property
    def settled_at(self) -> int | None:
        """The committed offset when everything is stored, None for an empty log."""
        return self.messages[-1].offset + 1 if self.messages else None


class DeadLetterRecord(NamedTuple):
    """The records of the dead-letter topic."""

    value: bytes | None
    key: bytes | None
    headers: dict[str, str]


class Membership(NamedTuple):
    """Membership (member and generation) in which a member commits."""

    member: str
    generation: int


@dataclass
class _Member:
    seen: float
    waiting: asyncio.Future[tuple[Membership, SortedSet]] | None = None


class Broker:
    """The topic, the dead letters, and the group, whose members get the partitions in a new order each generation.

    Attributes:
        plans_lost: the number of plans that went with the group's offset.
    """

    def __init__(self, world: World, partitions: Sequence[TopicPartition]) -> None:
        self.logs = {partition: Log(partition.partition, world.homes) for partition in partitions}
        self.dead_letters: list[DeadLetterRecord] = []
        self.committed = {partition: CommittedOffset(None, "") for partition in partitions}
        self.incarnation = 0
        self.plans_lost = 0
        self._world = world
        self._members: dict[str, _Member] = {}
        self._generation = 0
        self._preparing = False
        world.later(_TICK_SECONDS, self._tick)

    def join(self, member: str) -> asyncio.Future[tuple[Membership, SortedSet]]:
        """Join the next generation; the response comes when all members have joined, or after the timeout."""
        future: asyncio.Future[tuple[Membership, SortedSet]] = self._world.loop.create_future()
        known = self._members.setdefault(member, _Member(self._now))
        known.seen, known.waiting = self._now, future
        self._prepare()
        self._complete_if_all_joined()
        return future

    def leave(self, member: str) -> None:
        """Leave the group."""
        if self._members.pop(member, None) is not None:
            self._prepare()
            self._complete_if_all_joined()

    def heartbeat(self, membership: Membership) -> str:
        """Record a heartbeat; return `ok`, `rejoin` or `unknown`."""
        if not self._knows(membership):
            return "unknown"
        self._members[membership.member].seen = self._now
        return "rejoin" if self._preparing else "ok"

    def commit(self, membership: Membership, partition: TopicPartition, offset: int, plan: str) -> None:
        """Commit, if the membership is one of the present generation. Raises: CommitFailedError."""
        if not self._knows(membership):
            self._world.counts["zombie commits refused"] += 1
            self._world.note(f"refuse {membership.member} {partition.partition} {offset} {plan!r}")
            raise CommitFailedError("the group has a later generation, or does not know this member")
        self._members[membership.member].seen = self._now
        self.committed[partition] = read_commit(offset, commit_metadata(plan))
        self._world.counts["flushes" if plan else "flushes ended"] += 1
        self._world.note(f"commit {membership.member} {partition.partition} {offset} {plan!r}")

    def describe(self) -> LogIdentity:
        """Return the identity of the topic's log."""
        return LogIdentity("cluster", f"topic-{self.incarnation}", len(self.logs))

    def recreate(self, forget: bool) -> None:
        """Delete the topic and create it again; `forget`: the group's offsets are deleted with it."""
        self.incarnation += 1
        for partition in self.logs:
            self.logs[partition] = Log(partition.partition, self._world.homes)
            if forget:
                self.commit_by_hand(partition, None)

    def commit_by_hand(self, partition: TopicPartition, offset: int | None) -> None:
        """Set or forget the group's offset, as an operator or its expiry does."""
        self.plans_lost += bool(self.committed[partition].plan)
        self.committed[partition] = CommittedOffset(offset, "", by_hand=offset is not None)

    def settled(self) -> bool:
        """True if everything that was appended is committed, without an open plan."""
        return all(
            log.settled_at is None or self.committed[partition][:2] == (log.settled_at, "")
            for partition, log in self.logs.items()
        )

    @property
    def _now(self) -> float:
        return self._world.loop.time()

    def _knows(self, membership: Membership) -> bool:
        return membership.member in self._members and membership.generation == self._generation

    def _prepare(self) -> None:
        if not self._preparing:
            self._preparing = True
            self._world.later(_REJOIN_SECONDS, self._wait_no_longer, self._generation)

    def _wait_no_longer(self, generation: int) -> None:
        if self._preparing and self._generation == generation:
            self._members = {name: member for name, member in self._members.items() if member.waiting is not None}
            self._complete_if_all_joined()

    def _tick(self) -> None:
        """Expel members without a recent heartbeat."""
        for name, member in list(self._members.items()):
            if member.waiting is None and self._now - member.seen > SESSION_SECONDS:
                self._world.note(f"expel {name}")
                self.leave(name)
        self._world.later(_TICK_SECONDS, self._tick)

    def _complete_if_all_joined(self) -> None:
        if not self._preparing or any(member.waiting is None for member in self._members.values()):
            return
        self._preparing = False
        self._generation += 1
        names = sorted(self._members)
        self._world.rng.shuffle(names)
        for place, name in enumerate(names):
            member = self._members[name]
            given = SortedSet(list(self.logs)[place :: len(names)])
            self._world.note(f"generation {self._generation}: {name} has {[p.partition for p in given]}")
            if member.waiting is not None:
                member.waiting.set_result((Membership(name, self._generation), given))
            member.seen, member.waiting = self._now, None
