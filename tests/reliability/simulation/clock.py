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
    """A simulated process: everything that runs in a context where `PROCESS` is set to it.

    A killed process runs nothing more. A stopped one (SIGSTOP) runs nothing until it continues; then callbacks that
    were due in the meantime run, in order.

    Attributes:
        alive, stopped: its state.
        context: the context of its tasks.
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
        """Count a moment, which may be the process's last one."""
        found = self._strikes.get(moment)
        if found is not None:
            count, blow = found
            if count > 1:
                self._strikes[moment] = (count - 1, blow)
            else:
                del self._strikes[moment]
                blow()

    def hold(self, work: Callable[[], object]) -> None:
        """Store a callback of a stopped process until it continues."""
        self._held.append(work)

    def released(self) -> list[Callable[[], object]]:
        """Continue; return the stored callbacks, in order."""
        self.stopped = False
        held, self._held = self._held, []
        return held


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class Threads(Protocol):
    """Executor of the work that a process gives to a thread."""

    def submit(self, process: Process, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """Execute the work at a later time."""


class _Step(asyncio.TimerHandle):
    """A callback that is due at a time; it runs if its process, if any, may run."""

    __slots__ = ("_process",)

    def __init__(
        self, when: float, process: Process | None, callback: Callable[..., object], args: Any, context: Context
    ) -> None:
        # asyncio's own initializer records the source of the call, which would cost more than most callbacks.
        self._when = when
        self._process = process
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Cancel the callback."""
        self._cancelled = True

    def run(self) -> None:
        """Run the callback, or store it until its process continues."""
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
    """An event loop whose time advances only when nothing is left to do; `threads` executes the work of threads in it.

    It implements only what tasks and futures need, since most callbacks of a schedule are very short.
    """

    threads: Threads

    def __init__(self) -> None:
        self._now = 0.0
        self._ready: deque[_Step] = deque()
        self._timers: list[tuple[float, int, _Step]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        """Return the virtual seconds since the loop was created."""
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
        """Run until a coroutine has ended. An exception of a callback ends the run."""
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
        """Ignore errors, since tasks of killed processes never finish, and their futures are never read."""

    def get_debug(self) -> bool:
        """Return false: there is no debug mode."""
        return False

    def is_closed(self) -> bool:
        """Return false, since there is nothing to close."""
        return False

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Give work to `threads`."""
        process = PROCESS.get()
        assert process is not None, "only processes use threads"
        return self.threads.submit(process, lambda: func(*args))
