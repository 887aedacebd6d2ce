"""An asyncio loop with virtual time, in which processes can be killed and stopped between any two steps."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from heapq import heappop, heappush
from typing import Any, Protocol, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Process:
    """A simulated process: everything that runs in a context where `PROCESS` names it.

    A killed one runs nothing more. A stopped one (SIGSTOP) runs nothing until it goes on; then what was due in the
    meantime runs, in order.

    Attributes:
        alive, stopped: whether it runs.
        context: what its tasks are started in.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)
        self._held: list[Callable[[], object]] = []
        self._strikes: dict[str, tuple[int, Callable[[], None]]] = {}

    def strike(self, moment: str, count: int, blow: Callable[[], None]) -> None:
        """Call `blow` at the `count`-th moment from now: a `step` of the loop, or a `request` that is sent."""
        self._strikes[moment] = (count, blow)

    def reached(self, moment: str) -> None:
        """Count a moment; it may be the process's last one."""
        found = self._strikes.get(moment)
        if found is not None:
            count, blow = found
            if count > 1:
                self._strikes[moment] = (count - 1, blow)
            else:
                del self._strikes[moment]
                blow()

    def hold(self, work: Callable[[], object]) -> None:
        """Keep what a stopped process is to do when it goes on."""
        self._held.append(work)

    def released(self) -> list[Callable[[], object]]:
        """Go on; return what was held, in order."""
        self.stopped = False
        held, self._held = self._held, []
        return held


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class Threads(Protocol):
    """What does the work that a process gives to a thread."""

    def submit(self, process: Process, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Do it some time later."""


class _Step(asyncio.TimerHandle):
    """A callback that is due at a time; run if its process, where it has one, may run."""

    __slots__ = ("_process",)

    def __init__(
        self, when: float, process: Process | None, callback: Callable[..., object], args: Any, context: Context
    ) -> None:
        # asyncio's own initializer, which looks for a caller to blame, would cost more than most callbacks do.
        self._when = when
        self._process = process
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Do not run it."""
        self._cancelled = True

    def run(self) -> None:
        """Run it, or keep it for when its process goes on."""
        process = self._process
        if self._cancelled:
            return
        if process is not None:
            if process.alive and not process.stopped:
                process.reached("step")
            if not process.alive:
                return
            if process.stopped:
                process.hold(self.run)
                return
        self._context.run(self._callback, *self._args)


class VirtualLoop(asyncio.AbstractEventLoop):
    """Time passes only when nothing is left to do; work for threads is done by `threads`, in the loop.

    As little of a loop as tasks and futures need: most of a schedule is callbacks that do next to nothing.
    """

    threads: Threads

    def __init__(self) -> None:
        self._now = 0.0
        self._ready: deque[_Step] = deque()
        self._timers: list[tuple[float, int, _Step]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._now

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback next, as a step of the process in whose context it runs."""
        context = contextvars.copy_context() if context is None else context
        step = _Step(self._now, context.get(PROCESS), callback, args, context)
        self._ready.append(step)
        return step

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback after some seconds, as a step of the process in whose context it runs."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time, as a step of the process in whose context it runs."""
        context = contextvars.copy_context() if context is None else context
        step = _Step(when, context.get(PROCESS), callback, args, context)
        heappush(self._timers, (when, next(self._numbers), step))
        return step

    def run_until_complete(self, future: Coroutine[Any, Any, T]) -> T:  # type: ignore[override]
        """Run until a coroutine has ended. What a callback raises ends it."""
        task = self.create_task(future)
        asyncio._set_running_loop(self)
        try:
            while not task.done():
                self._next().run()
        finally:
            asyncio._set_running_loop(None)
        return task.result()

    def _next(self) -> _Step:
        if self._ready:
            return self._ready.popleft()
        if not self._timers:
            raise RuntimeError("the simulation waits for something that never comes")
        when, _, step = heappop(self._timers)
        self._now = max(self._now, when)
        return step

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        """Return a task of this loop."""
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context: Mapping[str, Any]) -> None:
        """Say nothing: tasks of killed processes are never finished, and their futures never looked at."""

    def get_debug(self) -> bool:
        """Say no."""
        return False

    def is_closed(self) -> bool:
        """Say no: there is nothing to close."""
        return False

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Give work to `threads`."""
        process = PROCESS.get()
        assert process is not None, "only processes use threads"
        return self.threads.submit(process, lambda: func(*args))
