"""What all parts of one schedule share: its seed, its clock, its faults, and what happened."""

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
"""Seconds without a sign of life after which the group gives a member's partitions to another."""


@dataclass
class Faults:
    """How probable each fault is, from 0 to 1, whenever it could happen; none by default.

    `*_before`: it fails and nothing was done; `*_after`: it was done, and its reply is lost. `insert_lost`: ClickHouse
    is killed between its note of a token and the rows. `insert_refused`: no retry helps, and the ingestor ends.
    `slow`: a request takes up to four sessions. `dropped`: a dead process's request never arrives. `empty`: a poll
    gives nothing of a partition. `commit_late`: a commit is given up, and comes later all the same, or never.
    `leave`: the group does not hear that a member leaves.
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
        """Draw a mixture in which most faults are absent, and some are frequent."""
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
    """The one source of chance, time and order of a schedule; also does the work of its processes' threads.

    Attributes:
        trace: what happened, in order: the same for the same seed.
        counts: how often.
        problems: what must not happen, and did.
        snapshot: remembers the store's state now; what it returns lets reads that follow see that state.
    """

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.rng = random.Random(seed)
        self.loop = loop
        self.faults = Faults()
        self.trace: list[str] = []
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.snapshot: Callable[[], Callable[[], None]] = lambda: lambda: None
        self._context = contextvars.copy_context()
        loop.threads = self

    def note(self, text: str) -> None:
        """Write down what happened."""
        self.trace.append(f"{self.loop.time():.6f} {text}")

    def chance(self, probability: float) -> bool:
        """Draw whether something happens."""
        return probability > 0 and self.rng.random() < probability

    def later(self, seconds: float, work: Callable[..., object], *args: Any) -> None:
        """Do something that belongs to no process."""
        self.loop.call_at(self.loop.time() + seconds, work, *args, context=self._context)

    def watch(self, task: asyncio.Task[None], done: Callable[[asyncio.Task[None]], None]) -> None:
        """Be told of a task's end, outside its process."""
        task.add_done_callback(done, context=self._context)

    def delay(self) -> float:
        """Draw how long something is on its way: some milliseconds as a rule."""
        if self.chance(self.faults.slow):
            return self.rng.uniform(SESSION_SECONDS / 4, 4 * SESSION_SECONDS)
        return self.rng.uniform(0.001, 0.01) if self.rng.random() < 0.8 else self.rng.uniform(0.01, 0.2)

    def kill(self, process: Process) -> None:
        """End a process here and now."""
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
        """Let a stopped process go on."""
        if process.alive and process.stopped:
            self.note(f"resume {process.name}")
            for work in process.released():
                self.loop.call_soon(work, context=self._context)

    def request(
        self, process: Process, work: Callable[[], T], *, answer_lost: BaseException | None = None
    ) -> asyncio.Future[T]:
        """Send a request for `work` on its way; the future has its answer, or the error that takes the answer's place.

        A process that dies while it is on its way never learns of it; the work may be done all the same.
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
        """Send a request that never arrives: the future has the error, after a while."""
        future: asyncio.Future[Any] = self.loop.create_future()
        process.reached("request")
        self.later(self.delay() if after is None else after, _answer, future, None, error)
        return future

    def submit(self, process: Process, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Do the work of a thread; while its process is stopped, only what had left it goes on."""
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
