"""A model of a partition whose log, group and tables are changed by their environment at any time.

Whatever happens, everything that the log held while a reader came to its end is stored, and the later value wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.flush.tokens import make_plan
from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.messages import NO_LEADER_EPOCH, Message
from stepwell_ingestor.positions.checksums import boundary_after
from stepwell_ingestor.positions.cuts import has_later_leader, is_cut, last_boundary, latest_leader
from stepwell_ingestor.positions.decide import decide, next_check
from stepwell_ingestor.positions.evidence import Decision, Evidence
from stepwell_ingestor.positions.models import LogPosition, PlanMark, parse_plan

_FLUSH = 3
_NOW = 1


@dataclass
class World:
    """A log of records with unique values; tables of versions by value; a group; a store that can be restored.

    `lost` are the values that the broker has lost or removed before a reader saw them.
    """

    topic: int = 1
    begin: int = 0
    log: list[Message] = field(default_factory=list)
    values: int = 0
    rows: dict[bytes, int] = field(default_factory=dict)
    position: LogPosition | None = None
    committed: int | None = None
    plan: str = ""
    backup: tuple[dict[bytes, int], LogPosition | None] = field(default_factory=lambda: ({}, None))
    missing: int = 0
    leader: int = 0

    @property
    def end(self) -> int:
        return self.log[-1].offset + 1 if self.log else self.begin

    def append(self) -> None:
        self.values += 1
        self.log.append(Message(self.end, self.values, None, b"%d" % self.values, leader_epoch=self.leader))

    def cut(self, count: int) -> None:
        self.leader += 1
        self.log = self.log[: max(len(self.log) - count, 0)]

    def evidence(self, *, plan_is_void: bool) -> Evidence:
        known = Evidence(
            "events", 0, LogIdentity("c", str(self.topic), 1), LogExtent(self.begin, self.end), self.position, (),
            bool(self.rows), max(self.rows.values(), default=0), False, self.committed, parse_plan(self.plan),
            plan_is_void,
        )  # fmt: skip
        while (end := next_check(known)) is not None:
            (record,) = (message for message in self.log if message.offset == end - 1)
            stored = known.own is not None and boundary_after(record) in known.own.boundaries
            leader = latest_leader(known.leader_epoch, [record])
            known = replace(known, checked={**known.checked, end: stored}, leader_epoch=leader)
        return known

    def read(self, deaths: int) -> bool:
        """Let an ingestor read to the end, which dies at its n-th effect; return True if it came to the end."""
        steps = iter(range(deaths))

        def alive() -> bool:
            return next(steps, None) is not None

        plan_is_void = False
        while True:
            decision = decide(self.evidence(plan_is_void=plan_is_void), _NOW)
            if decision.is_new:
                if not alive():
                    return False
                self.position = decision.position
                self.missing += decision.missing
            try:
                return self._flush_all(decision, alive)
            except PlanError:
                plan_is_void = True

    def _flush_all(self, decision: Decision, alive: Callable[[], bool]) -> bool:
        position, start, found = decision.position, decision.start, decision.plan
        while messages := self._next(start, found):
            end = messages[-1].offset + 1 if found is None else found.end
            plan = make_plan(messages, end, position.epoch, found)
            if not alive():
                return False
            self.committed, self.plan = start, plan.text
            for message in messages:
                if not alive():
                    return False
                version = message.offset + position.base
                self.rows[message.value] = max(version, self.rows.get(message.value, version))
            if not alive():
                return False
            position = self.position = position.advance(end, boundary_after(messages[-1]), holds_rows=True)
            if not alive():
                return False
            self.committed, self.plan = end, ""
            start, found = end, None
        if found is not None:
            raise PlanError("the log has no record of the plan")
        return True

    def _next(self, start: int, found: PlanMark | None) -> list[Message]:
        ahead = [message for message in self.log if message.offset >= start]
        if found is None:
            return ahead[:_FLUSH]
        return [message for message in ahead if message.offset < found.end]


EVENTS = ("nothing", "cut", "cut", "recreate", "retain", "forget", "reset", "skip", "empty", "save", "restore")
ROUNDS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(EVENTS), st.integers(1, 6), st.integers(0, 5), st.integers(0, 20)),
    max_size=8,
)
"""For each round: values logged, an event with its extent, values logged, and the life of the next reader."""


def happen(world: World, event: str, number: int) -> None:
    """Change the environment."""
    if event == "append":
        world.append()
    elif event == "cut":
        world.cut(number)
    elif event == "recreate":
        world.topic, world.begin, world.log, world.committed, world.plan = world.topic + 1, 0, [], None, ""
    elif event == "retain":
        world.begin = min(world.begin + number, world.end)
        world.log = [message for message in world.log if message.offset >= world.begin]
    elif event == "forget":
        world.committed, world.plan = None, ""
    elif event == "reset":
        world.committed, world.plan = 0, ""
    elif event == "skip":
        world.committed, world.plan = world.end, ""
    elif event == "empty":
        world.rows, world.position = {}, None
    elif event == "save":
        world.backup = dict(world.rows), world.position
    elif event == "restore":
        world.rows, world.position = dict(world.backup[0]), world.backup[1]


@given(ROUNDS)
def test_everything_in_the_log_is_stored_and_later_values_win(rounds: list[tuple[int, str, int, int, int]]) -> None:
    world = World()
    for before, event, number, after, life in rounds:
        for _ in range(before):
            world.append()
        happen(world, event, number)
        for _ in range(after):
            world.append()
        world.read(life)
    assert world.read(10_000)
    versions = [world.rows[message.value] for message in world.log]
    assert versions == sorted(set(versions)), "in the order of the log"
    assert world.position is not None
    assert all(version < world.position.logical_end for version in world.rows.values())
    assert decide(world.evidence(plan_is_void=False), _NOW).start == world.end, "and nothing is read again"


@given(st.lists(st.sampled_from(["append", "read", "recreate", "cut"]), max_size=20))
def test_values_of_a_later_log_are_above_those_of_an_earlier_one(happenings: list[str]) -> None:
    world = World()
    highest = -1
    for event in happenings:
        if event != "read":
            happen(world, event, 2)
            continue
        before = set(world.rows)
        assert world.read(10_000)
        new = [version for value, version in world.rows.items() if value not in before]
        assert all(version > highest for version in new)
        highest = max([highest, *new])


@dataclass
class Reader:
    """A running consumer, under which the log is cut and grows again."""

    world: World
    at: int = 0
    leader: int = NO_LEADER_EPOCH
    buffer: list[Message] = field(default_factory=list)
    seen: LogPosition | None = None

    def begin(self) -> None:
        evidence = self.world.evidence(plan_is_void=False)
        decision = decide(evidence, _NOW)
        self.world.position = decision.position
        self.at, self.buffer = decision.start, []
        self.leader = max(self.leader, evidence.leader_epoch)

    def fetch(self, count: int) -> None:
        messages = [message for message in self.world.log if message.offset >= self.at][:count]
        later = has_later_leader(self.leader, messages)
        self.leader = latest_leader(self.leader, messages)
        if later or self.at > self.world.end:
            self.begin()
        elif messages:
            self.buffer += messages
            self.at = messages[-1].offset + 1

    def flush(self) -> None:
        position = self.world.position
        if position is not None and self.buffer:
            for message in self.buffer:
                self.world.rows[message.value] = message.offset + position.base
            self.world.position = position.advance(self.at, boundary_after(self.buffer[-1]), holds_rows=True)
            self.world.committed, self.buffer = self.at, []

    def look(self) -> None:
        position, world = self.world.position, self.world
        extent = LogExtent(world.begin, world.end)
        if position is not None and position == self.seen:
            boundary = last_boundary(position, extent)
            at = None if boundary is None else boundary.end - 1
            if is_cut(position, extent, next((message for message in world.log if message.offset == at), None)):
                self.begin()
        self.seen = position


TURNS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans(), st.booleans(), st.integers(0, 5), st.integers(0, 5)),
    max_size=8,
)
"""For each turn: values logged, how many are fetched, whether they are flushed, whether the reader looks at the last
stored record, how many are lost, and values logged."""


@given(TURNS)
def test_a_log_that_is_cut_under_a_running_reader_is_stored_as_a_whole(
    turns: list[tuple[int, int, bool, bool, int, int]],
) -> None:
    world = World()
    reader = Reader(world)
    reader.begin()
    for before, fetched, flushes, looks, lost, after in turns:
        for _ in range(before):
            world.append()
        reader.fetch(fetched)
        if flushes:
            reader.flush()
        if looks:
            reader.look()
        if lost:
            world.cut(lost)
        for _ in range(after):
            world.append()
    for _ in range(3):
        reader.fetch(1_000)
        reader.flush()
        reader.look()
        reader.look()
    assert [message.value for message in world.log if message.value not in world.rows] == []
