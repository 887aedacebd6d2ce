"""The shared state of one schedule: its seed, its clock, its faults, and its trace."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from reliability.simulation.clock import Process, VirtualLoop

T = TypeVar("T")

SESSION_SECONDS = 1.0
"""Seconds without a heartbeat after which the group reassigns a member's partitions."""


@dataclass
class Faults:
    """Probabilities of the faults, from 0 to 1; 0 by default.

    `*_before`: the request fails without an effect; `*_after`: it is carried out, and its reply is lost. `insert_lost`:
    ClickHouse is killed after it has recorded a token and before the rows are stored. `insert_refused`: retries fail
    too, and the ingestor ends. `slow`: a request takes up to four session timeouts. `dropped`: the request of a dead
    process never arrives. `empty`: a poll returns no records of a partition. `commit_late`: a commit times out, and
    arrives later, or never. `leave`: the request to leave the group is lost.
    """

    commit_before: float = 0.0
    commit_after: float = 0.0
    committed: float = 0.0
    heartbeat: float = 0.0
    send_before: float = 0.0
    send_after: float = 0.0
    insert_before: float = 0.0
    insert_after: float = 0.0
    insert_lost: float = 0.0
    insert_refused: float = 0.0
    query: float = 0.0
    slow: float = 0.0
    dropped: float = 0.0
    empty: float = 0.0
    commit_late: float = 0.0
    leave: float = 0.0

    @classmethod
    def drawn(cls, rng: random.Random) -> Faults:
        """Draw probabilities: most faults are absent, and some are frequent."""
        faults = cls(
            **{
                name: rng.choice((0.0, 0.0, 0.02, 0.1, 0.3))
                for name in cls.__dataclass_fields__
                if name not in {"slow", "insert_lost", "insert_refused"}
            }
        )
        faults.slow = rng.choice((0.0, 0.0, 0.01, 0.05))
        faults.insert_lost = rng.choice((0.0, 0.0, 0.05))
        faults.insert_refused = rng.choice((0.0, 0.0, 0.0, 0.02))
        return faults


class World:
    """The only source of randomness, time and order of a schedule; also executes the work of its processes' threads.

    Attributes:
        trace: the events in order, which depend on the seed only.
        counts: the number of events by name.
        problems: violations.
        homes: the partition of each key.
        snapshot: saves the current state of the store; returns a function that makes later reads see that state.
    """

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.rng = random.Random(seed)
        self.loop = loop
        self.faults = Faults()
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.homes: dict[bytes, int] = {}
        self.snapshot: Callable[[], Callable[[], None]] = lambda: lambda: None
        self._context = contextvars.copy_context()
        loop.threads = self

    def note(self, text: str) -> None:
        """Record an event in the trace."""
        self.trace.append(f"{self.loop.time():.6f} {text}")

    def chance(self, probability: float) -> bool:
        """Return true with a probability."""
        return probability > 0 and self.rng.random() < probability

    def later(self, seconds: float, work: Callable[..., object], *args: Any) -> None:
        """Call a function later, outside of any process."""
        self.loop.call_at(self.loop.time() + seconds, work, *args, context=self._context)

    def watch(self, task: asyncio.Task[None], done: Callable[[asyncio.Task[None]], None]) -> None:
        """Call a function at the end of a task, outside of its process."""
        task.add_done_callback(done, context=self._context)

    def delay(self) -> float:
        """Draw the delay of a request: usually some milliseconds."""
        if self.chance(self.faults.slow):
            return self.rng.uniform(SESSION_SECONDS / 4, 4 * SESSION_SECONDS)
        return self.rng.uniform(0.001, 0.01) if self.rng.random() < 0.8 else self.rng.uniform(0.01, 0.2)

    def kill(self, process: Process) -> None:
        """Kill a process immediately."""
        if process.alive:
            process.alive = False
            self.counts["kills"] += 1
            self.note(f"kill {process.name}")

    def pause(self, process: Process, seconds: float) -> None:
        """Stop a process for a while."""
        if process.alive and not process.stopped:
            process.stopped = True
            self.counts["pauses"] += 1
            self.note(f"pause {process.name} {seconds:.3f}")
            self.later(seconds, self.resume, process)

    def resume(self, process: Process) -> None:
        """Continue a stopped process."""
        if process.alive and process.stopped:
            self.note(f"resume {process.name}")
            for work in process.released():
                self.loop.call_soon(work, context=self._context)

    def request(
        self, process: Process, work: Callable[[], T], *, answer_lost: BaseException | None = None
    ) -> asyncio.Future[T]:
        """Send a request for `work`; the future gets its result, or the error.

        A process that dies meanwhile never receives the result; the work may be carried out nevertheless.
        """
        future: asyncio.Future[T] = self.loop.create_future()
        dies_before = self.rng.random() < 0.5
        if dies_before:
            process.reached("request")
        if not process.alive:
            return future
        self.later(self.delay(), self._arrive, process, work, future, answer_lost)
        if not dies_before:
            process.reached("request")
        return future

    def fail(self, process: Process, error: BaseException, after: float | None = None) -> asyncio.Future[Any]:
        """Send a request that never arrives: the future gets the error after a while."""
        future: asyncio.Future[Any] = self.loop.create_future()
        process.reached("request")
        self.later(self.delay() if after is None else after, _answer, future, None, error)
        return future

    def submit(self, process: Process, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Execute the work of a thread; while its process is stopped, only requests that were sent before continue."""
        since = self.snapshot()
        left_already = self.rng.random() < 0.5
        future: asyncio.Future[Any] = self.loop.create_future()
        dies_before = self.rng.random() < 0.5
        if dies_before:
            process.reached("request")
        if not process.alive:
            return future

        def do() -> None:
            if process.stopped and not left_already:
                process.hold(do)
                return
            since()
            self._arrive(process, work, future, None)

        self.later(self.delay(), do)
        if not dies_before:
            process.reached("request")
        return future

    def _arrive(
        self, process: Process, work: Callable[[], Any], future: asyncio.Future[Any], lost: BaseException | None
    ) -> None:
        if not process.alive and self.chance(self.faults.dropped):
            return
        result: Any = None
        error: BaseException | None = None
        try:
            result = work()
        except Exception as raised:
            error = raised
        self.later(self.delay(), _answer, future, result, lost or error)


def _answer(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
