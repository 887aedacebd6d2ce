"""One schedule: a log that grows, ingestors that start, stop, crash and freeze, and the comparison at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from unittest.mock import patch

import structlog
from aiokafka import TopicPartition

from reliability.simulation.broker import Broker
from reliability.simulation.clock import Process, VirtualLoop
from reliability.simulation.environment import ChangingEnvironment
from reliability.simulation.ingestors import TOPIC, Ingestors
from reliability.simulation.reference import Differences, compare
from reliability.simulation.rollups import LEVELS
from reliability.simulation.shortcuts import shortcuts
from reliability.simulation.store import Memory, SimulatedStore
from reliability.simulation.trainers import TrainingProcesses
from reliability.simulation.workload import Content, Entry, Workload
from reliability.simulation.world import SESSION_SECONDS, Faults, World
from stepwell_ingestor.flush import flusher

# Most logs are short: few messages are enough for most failures, and more schedules meet more interleavings.
_SIZES: Final = ((1, 6), (2, 8), (4, 12), (10, 32))
_SETTLE_SECONDS: Final = 120.0
# Longer than any delay of a request and any pause.
_QUIET_SECONDS: Final = 10 * SESSION_SECONDS
_LOOK_SECONDS: Final = 0.25
_MOST_RANKS: Final = 8
# The kinds of schedules, by the last digits of their seeds: an environment that changes, training processes (which are
# costly), or faulty ingestion in all others. Of the last two, some have the ranks of one run.
_KINDS: Final = 32
_CHANGING: Final = frozenset(range(0, _KINDS, 4))
_TRAINING: Final = frozenset({2, 18})
_TRAINING_RANKS: Final = 10
_INGESTED_RANKS: Final = frozenset({6, 22})


@dataclass(frozen=True)
class Outcome:
    """Trace and differences of a schedule."""

    seed: int
    counts: Counter[str]
    trace: list[str]
    differences: Differences


class Schedule(Protocol):
    """Everything that happens in a schedule, and what must be stored after it."""

    async def run(self) -> None:
        """Let things happen; then wait until everything has recovered and is idle."""

    def compare(self) -> Differences:
        """Compare what is stored with what must be stored."""


class _FaultyIngest:
    """Faults of processes, requests and ClickHouse; the log and what was stored stay."""

    def __init__(
        self, world: World, broker: Broker, store: SimulatedStore, ingestors: Ingestors, ranks: int = 0
    ) -> None:
        self._world = world
        self._broker = broker
        self._store = store
        self._ingestors = ingestors
        self._entries: list[Entry] = []
        self._partitions = list(broker.logs)
        self._sizes = _SIZES[-1:] if ranks else _SIZES
        self._workload = Workload(world.rng, len(self._partitions), Content.drawn(world.rng), ranks)

    async def run(self) -> None:
        """Let the log grow under faults; then wait until everything has recovered and is idle."""
        rng = self._world.rng
        self._world.faults = Faults.drawn(rng)
        for _ in range(rng.randint(1, 2)):
            self._ingestors.start()
        left = rng.randint(*rng.choice(self._sizes))
        for _ in range(rng.randint(3, 6 + left // 4)):
            for _ in range(min(left, rng.choice((0, 1, 3, 10)))):
                self._append()
                left -= 1
            if rng.random() < 0.7:
                self._ingestors.strike()
            self._ingestors.start_if_none()
            await asyncio.sleep(rng.expovariate(3.0))
        for _ in range(left):
            self._append()
        await self._recover()

    def compare(self) -> Differences:
        """Compare the tables with the log as a whole, and with the model."""
        self._world.counts["events"] = len(self._entries)
        states = self._store.tables.get("run_states", ())
        self._world.counts["shared writers"] = len({row["name"] for row in states if row["scope"] == "shared_writer"})
        repeats = self._store.memory is not Memory.ALL
        found = compare(self._store.tables, self._broker, self._entries, self._store.levels, repeats=repeats)
        return found._replace(problems=self._store.closed_early + found.problems)

    async def _recover(self) -> None:
        self._world.note("recover")
        self._world.faults, self._store.away_until = Faults(), 0.0
        await self._settle()
        # Delayed requests arrive; an ingestor that finds everything settled must change nothing.
        self._ingestors.kill_all()
        await asyncio.sleep(_QUIET_SECONDS)
        if not self._broker.settled():
            await self._settle()

    async def _settle(self) -> None:
        deadline = self._world.loop.time() + _SETTLE_SECONDS
        while not self._broker.settled():
            self._ingestors.start_if_none()
            if self._world.loop.time() > deadline:
                self._world.problems.append(f"not settled within {_SETTLE_SECONDS:g} s: {self._broker.committed}")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _append(self) -> None:
        entry = self._workload.draw()
        self._entries.append(entry)
        gap = self._world.rng.choice((0, 0, 0, 1, 3))
        self._broker.logs[self._partitions[entry.partition]].append(entry.message, gap)


def run_schedule(seed: int) -> Outcome:
    """Run the schedule of a seed.

    Returns:
        the outcome, which depends on the seed only.
    """
    loop = VirtualLoop()  # type: ignore[abstract]  # the missing methods are never called
    with structlog.testing.capture_logs() as logged, shortcuts():
        world = World(seed, loop)
        partitions = [TopicPartition(TOPIC, number) for number in range(world.rng.randint(1, 3))]
        broker, store = Broker(world, partitions), SimulatedStore(world, world.rng.choice(LEVELS))
        ingestors = Ingestors(world, broker, store)
        kind = seed % _KINDS
        ranks = world.rng.randint(2, _MOST_RANKS) if kind in {_TRAINING_RANKS, *_INGESTED_RANKS} else 0
        world.counts["ranks"] = ranks
        trainers = TrainingProcesses(world, ranks)
        schedule: Schedule = _FaultyIngest(world, broker, store, ingestors, ranks)
        if kind in _CHANGING:
            schedule = ChangingEnvironment(world, broker, store, ingestors, logged)
        elif kind in {*_TRAINING, _TRAINING_RANKS}:
            schedule = trainers
        try:
            with patch.object(flusher, "LEVELS", store.levels):
                loop.run_until_complete(schedule.run())
        finally:
            _bury(loop, [*ingestors.processes, *trainers.processes])
    differences = schedule.compare()
    world.counts["points"] = differences.points
    return Outcome(
        seed, world.counts, world.trace, differences._replace(problems=world.problems + differences.problems)
    )


def _bury(loop: VirtualLoop, processes: Sequence[Process]) -> None:
    """Close unfinished coroutines of the processes; none may continue."""
    for process in processes:
        process.alive = False
    for task in asyncio.all_tasks(loop):
        coroutine = task.get_coro()
        if coroutine is not None:
            coroutine.close()
