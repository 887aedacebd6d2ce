"""One schedule: a log that grows, ingestors that start, stop, crash and freeze, and the comparison at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from unittest.mock import patch

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from reliability.simulation.broker import Broker
from reliability.simulation.client import SimulatedKafka
from reliability.simulation.clock import Process, VirtualLoop
from reliability.simulation.reference import Differences, compare
from reliability.simulation.rollups import LEVELS
from reliability.simulation.shortcuts import shortcuts
from reliability.simulation.store import SimulatedStore
from reliability.simulation.workload import Content, Entry, Workload
from reliability.simulation.world import SESSION_SECONDS, Faults, World
from stepwell_ingestor.flush import flusher
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.errors import StoreRejectedError

_TOPIC: Final = "events"
# Most logs are short: few messages are enough for most failures, and more schedules meet more interleavings.
_SIZES: Final = ((1, 6), (2, 8), (4, 12), (10, 32))
_MOST_INGESTORS: Final = 3
_MOST_STEPS: Final = 120
_MOST_REQUESTS: Final = 12
_SETTLE_SECONDS: Final = 120.0
# Longer than any delay of a request and any pause.
_QUIET_SECONDS: Final = 10 * SESSION_SECONDS
_LOOK_SECONDS: Final = 0.25


@cache
def _settings() -> IngestorSettings:
    return IngestorSettings(kafka_bootstrap_servers="simulated")


@dataclass(frozen=True)
class Outcome:
    """Trace and differences of a schedule."""

    seed: int
    counts: Counter[str]
    trace: list[str]
    differences: Differences


class _Schedule:
    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.world = World(seed, loop)
        rng = self.world.rng
        partitions = [TopicPartition(_TOPIC, number) for number in range(rng.randint(1, 3))]
        self.broker = Broker(self.world, partitions)
        self.levels = rng.choice(LEVELS)
        self.store = SimulatedStore(self.world, self.levels)
        self.entries: list[Entry] = []
        self.processes: list[Process] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._partitions = partitions
        self._workload = Workload(rng, len(partitions), Content.drawn(rng))
        self._running: dict[Process, Ingestor] = {}
        # Limits far below those that the settings allow, so that short logs are split, and partitions paused.
        self._settings = _settings().model_copy(
            update={
                "events_topic": _TOPIC,
                "deadletters_topic": "deadletters",
                "ingestor_flush_bytes": rng.choice((200, 2_500, 10_000)),
                "ingestor_buffer_bytes": rng.choice((500, 2_000, 100_000)),
                "ingestor_flush_seconds": rng.choice((0.05, 0.3, 1.0)),
                "ingestor_state_bytes": rng.choice((0, 20_000, 2**24)),
                "ingestor_retry_seconds": rng.choice((0.2, 1.0)),
            }
        )

    async def run(self) -> None:
        """Let the log grow under faults; then wait until everything has recovered and is idle."""
        rng = self.world.rng
        self.world.faults = Faults.drawn(rng)
        for _ in range(rng.randint(1, 2)):
            self._start()
        left = rng.randint(*rng.choice(_SIZES))
        for _ in range(rng.randint(3, 6 + left // 4)):
            for _ in range(min(left, rng.choice((0, 1, 3, 10)))):
                self._append()
                left -= 1
            if rng.random() < 0.7:
                self._strike()
            if not self._running:
                self._start()
            await asyncio.sleep(rng.expovariate(3.0))
        for _ in range(left):
            self._append()
        await self._recover()

    async def _recover(self) -> None:
        self.world.note("recover")
        self.world.faults, self.store.away_until = Faults(), 0.0
        await self._settle()
        # Delayed requests arrive; an ingestor that finds everything settled must change nothing.
        for process in list(self._running):
            self.world.kill(process)
        self._running.clear()
        await asyncio.sleep(_QUIET_SECONDS)
        if not self.broker.settled():
            await self._settle()

    async def _settle(self) -> None:
        loop = self.world.loop
        deadline = loop.time() + _SETTLE_SECONDS
        while not self.broker.settled():
            if not self._running:
                self._start()
            if loop.time() > deadline:
                self.world.problems.append(f"not settled within {_SETTLE_SECONDS:g} s: {self.broker.committed}")
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _append(self) -> None:
        entry = self._workload.draw()
        self.entries.append(entry)
        gap = self.world.rng.choice((0, 0, 0, 1, 3))
        self.broker.logs[self._partitions[entry.partition]].append(entry.message, gap)

    def _strike(self) -> None:
        """Apply a random fault to a random process."""
        rng, world = self.world.rng, self.world
        what = rng.choices(("kill", "pause", "leave", "start", "store away"), (6, 5, 4, 3, 1))[0]
        if what == "start" and len(self._running) < _MOST_INGESTORS:
            self._start()
        if what == "store away":
            self.store.away_until = world.loop.time() + rng.uniform(0.1, 2 * SESSION_SECONDS)
        if what not in {"kill", "pause", "leave"} or not self._running:
            return
        process = rng.choice(list(self._running))
        if what == "leave":
            self._leave(process)
            if rng.random() < 0.5:
                # A rolling restart: the next one joins while this one drains.
                self._start()
            return
        moment = rng.choice(("step", "request", "request"))
        count = rng.randint(1, _MOST_STEPS if moment == "step" else _MOST_REQUESTS)
        seconds = rng.choice((0.2, 1.0, 2.0, 4.0)) * SESSION_SECONDS * rng.uniform(0.5, 1.0)
        blow = (lambda: self._kill(process)) if what == "kill" else (lambda: world.pause(process, seconds))
        process.strike(moment, count, blow)

    def _start(self) -> None:
        process = Process(f"i{self.world.counts['ingestors']}")
        self.processes.append(process)
        self.world.counts["ingestors"] += 1
        self.world.note(f"start {process.name}")
        kafka = SimulatedKafka(self.world, self.broker, process)
        ingestor = process.context.copy().run(Ingestor, self._settings, self.store, kafka)
        self._running[process] = ingestor
        task = self.world.loop.create_task(ingestor.run(), context=process.context.copy())
        self.tasks.append(task)
        self.world.watch(task, lambda done: self._ended(process, done))

    def _kill(self, process: Process) -> None:
        self.world.kill(process)
        self._running.pop(process, None)

    def _leave(self, process: Process) -> None:
        self.world.counts["leaves"] += 1
        self.world.note(f"leave {process.name}")
        ingestor = self._running.pop(process)
        self.tasks.append(self.world.loop.create_task(ingestor.stop(), context=process.context.copy()))

    def _ended(self, process: Process, task: asyncio.Task[None]) -> None:
        process.alive = False
        self._running.pop(process, None)
        error = task.exception()
        self.world.note(f"end {process.name} {error!r}")
        if error is not None and not isinstance(error, KafkaError | StoreRejectedError):
            self.world.problems.append(f"{process.name} ended with {error!r}")


def run_schedule(seed: int) -> Outcome:
    """Run the schedule of a seed.

    Returns:
        the outcome, which depends on the seed only.
    """
    loop = VirtualLoop()  # type: ignore[abstract]  # the missing methods are never called
    with structlog.testing.capture_logs(), shortcuts():
        schedule = _Schedule(seed, loop)
        try:
            with patch.object(flusher, "LEVELS", schedule.levels):
                loop.run_until_complete(schedule.run())
        finally:
            _bury(loop, schedule.processes)
    world = schedule.world
    differences = compare(schedule.store.tables, schedule.broker, schedule.entries, schedule.levels)
    world.counts["events"] = len(schedule.entries)
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
