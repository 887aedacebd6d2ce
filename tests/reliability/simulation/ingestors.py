"""The ingestor processes of a schedule: they start, stop, crash and freeze."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any, Final

from aiokafka.errors import KafkaError

from reliability.simulation.broker import Broker
from reliability.simulation.client import SimulatedKafka
from reliability.simulation.clock import Process
from reliability.simulation.store import SimulatedStore
from reliability.simulation.world import SESSION_SECONDS, World
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.errors import StoreRejectedError

TOPIC: Final = "events"
_MOST_INGESTORS: Final = 3
_MOST_STEPS: Final = 120
_MOST_REQUESTS: Final = 12


@cache
def _settings() -> IngestorSettings:
    return IngestorSettings(kafka_bootstrap_servers="simulated")


class Ingestors:
    """The group's members, and what happens to them.

    Attributes:
        processes: all that were ever started.
        running: those that are neither dead nor leaving.
    """

    def __init__(self, world: World, broker: Broker, store: SimulatedStore) -> None:
        self.processes: list[Process] = []
        self.running: dict[Process, Ingestor] = {}
        self._world = world
        self._broker = broker
        self._store = store
        self._tasks: list[asyncio.Task[Any]] = []
        rng = world.rng
        # Limits far below those that the settings allow, so that short logs are split, and partitions paused.
        self._settings = _settings().model_copy(
            update={
                "events_topic": TOPIC,
                "deadletters_topic": "deadletters",
                "ingestor_flush_bytes": rng.choice((200, 2_500, 10_000)),
                "ingestor_buffer_bytes": rng.choice((500, 2_000, 100_000)),
                "ingestor_flush_seconds": rng.choice((0.05, 0.3, 1.0)),
                "ingestor_state_bytes": rng.choice((0, 20_000, 2**24)),
                "ingestor_retry_seconds": rng.choice((0.2, 1.0)),
            }
        )

    def start(self) -> None:
        """Start one more."""
        process = Process(f"i{self._world.counts['ingestors']}")
        self.processes.append(process)
        self._world.counts["ingestors"] += 1
        self._world.note(f"start {process.name}")
        kafka = SimulatedKafka(self._world, self._broker, process)
        ingestor = process.context.copy().run(Ingestor, self._settings, self._store, kafka)
        self.running[process] = ingestor
        task = self._world.loop.create_task(ingestor.run(), context=process.context.copy())
        self._tasks.append(task)
        self._world.watch(task, lambda done: self._ended(process, done))

    def start_if_none(self) -> None:
        """Start one if none is running."""
        if not self.running:
            self.start()

    def strike(self) -> None:
        """Apply a random fault to a random process, or to the store."""
        rng, world = self._world.rng, self._world
        what = rng.choices(("kill", "pause", "leave", "start", "store away"), (6, 5, 4, 3, 1))[0]
        if what == "start" and len(self.running) < _MOST_INGESTORS:
            self.start()
        if what == "store away":
            self._store.go_away(rng.uniform(0.1, 2 * SESSION_SECONDS))
        if what not in {"kill", "pause", "leave"} or not self.running:
            return
        process = rng.choice(list(self.running))
        if what == "leave":
            self._leave(process)
            if rng.random() < 0.5:
                # A rolling restart: the next one joins while this one drains.
                self.start()
            return
        moment = rng.choice(("step", "request", "request"))
        count = rng.randint(1, _MOST_STEPS if moment == "step" else _MOST_REQUESTS)
        seconds = rng.choice((0.2, 1.0, 2.0, 4.0)) * SESSION_SECONDS * rng.uniform(0.5, 1.0)
        blow = (lambda: self._kill(process)) if what == "kill" else (lambda: world.pause(process, seconds))
        process.strike(moment, count, blow)

    def kill_all(self) -> None:
        """Kill all at the same time."""
        for process in list(self.running):
            self._kill(process)

    def _kill(self, process: Process) -> None:
        self._world.kill(process)
        self.running.pop(process, None)

    def _leave(self, process: Process) -> None:
        self._world.counts["leaves"] += 1
        self._world.note(f"leave {process.name}")
        ingestor = self.running.pop(process)
        self._tasks.append(self._world.loop.create_task(ingestor.stop(), context=process.context.copy()))

    def _ended(self, process: Process, task: asyncio.Task[None]) -> None:
        process.alive = False
        self.running.pop(process, None)
        # `stop()` cancels an ingestor that does not end in time, for example since the group waits for a paused member.
        error = None if task.cancelled() else task.exception()
        self._world.note(f"end {process.name} {error!r}")
        if error is not None and not isinstance(error, KafkaError | StoreRejectedError):
            self._world.problems.append(f"{process.name} ended with {error!r}")
