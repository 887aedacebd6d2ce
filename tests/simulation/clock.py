"""An asyncio loop with virtual time, in which processes can be killed and stopped between any two steps."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context, ContextVar
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple, Unpack

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


class _Selector(selectors.SelectSelector):
    """Waits by moving the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the simulation waits for something that never comes")
        self.now += max(timeout, 0.0)
        return []


class _Step(Generic[*Ts]):
    """A callback of a process, run if the process may run."""

    __slots__ = ("_callback", "_process", "handle")

    def __init__(self, process: Process, callback: Callable[[Unpack[Ts]], object]) -> None:
        self._process = process
        self._callback = callback
        self.handle: asyncio.Handle

    def __call__(self, *args: *Ts) -> None:
        process = self._process
        if process.alive and not process.stopped:
            process.reached("step")
        if not process.alive:
            return
        if process.stopped:
            process.hold(self._go_on)
        else:
            self._callback(*args)

    def _go_on(self) -> None:
        if not self.handle.cancelled():
            self.handle._run()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when nothing is left to do; work for threads is done by `threads`, in the loop."""

    threads: Threads

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._virtual.now

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback next, as a step of the process in whose context it runs."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_soon(callback, *args, context=context)
        step = _Step(process, callback)
        step.handle = super().call_soon(step, *args, context=context)
        return step.handle

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time, as a step of the process in whose context it runs."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)
        step = _Step(process, callback)
        handle = super().call_at(when, step, *args, context=context)
        step.handle = handle
        return handle

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Give work to `threads`."""
        process = PROCESS.get()
        assert process is not None, "only processes use threads"
        return self.threads.submit(process, lambda: func(*args))
