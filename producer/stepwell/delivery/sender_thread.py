"""The thread of a sender: it runs a coroutine in an event loop of its own, and again after an error.

A thread that can't be started, since the limit of threads is reached, is tried again by the heartbeat of the journals
and at the end of the run. An event loop that can't be made, since the limit of descriptors is reached, and any error
that the coroutine raises, are followed by another attempt after a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from stepwell.delivery.reconnect import DRAIN_PAUSE_SECONDS, retry_delay
from stepwell.journal.heartbeat import HEART
from stepwell.journal.journal import Journal

_STOP_GRACE_SECONDS: Final = 1.0


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that resolves host names in its own thread.

    At interpreter shutdown, when runs drain, no executor thread can be started.
    """

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        return socket.getaddrinfo(host, port, **more)


class SenderThread:
    """A daemon thread that runs `main` until it returns, or until it fails after `end` was called.

    Attributes:
        ending: whether `end` was called.
    """

    def __init__(
        self,
        journal: Journal,
        main: Callable[[], Coroutine[Any, Any, None]],
        failed: Callable[[str], None],
        retry_seconds: float,
    ) -> None:
        """Prepare the thread.

        Args:
            journal: its `sender_alive` follows the thread.
            failed: receives the reason of each failure.
            retry_seconds: the longest wait after the first failure; see `retry_delay`.
        """
        self.ending = False
        self._journal = journal
        self._main = main
        self._failed = failed
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._started = self._beats = False
        self._end = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake: asyncio.Event | None = None

    def start(self) -> None:
        """Start the thread; if that fails, the heartbeat of the journals tries again."""
        self._started = True
        if not self._try_start():
            self._beats = True
            with contextlib.suppress(RuntimeError):  # the heartbeat has no thread either
                HEART.add(self)

    def beat(self) -> None:
        """Try again to start the thread."""
        if self._try_start():
            self._stop_beating()

    def end(self, timeout: float) -> bool:
        """Wait until the coroutine returns, for at most `timeout` seconds; return False if it still runs."""
        self.ending = True
        self._end.set()
        self._stop_beating()
        if not self._started or not self._try_start() or self._thread is None:
            return True
        self._call(lambda: self._wake.set() if self._wake else None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """Cancel the coroutine, and wait a moment for its end."""
        self._call(lambda: self._task.cancel() if self._task else None)
        if self._thread is not None:
            self._thread.join(_STOP_GRACE_SECONDS)

    async def pause(self, seconds: float, asked: float = 0.0) -> None:
        """Within the coroutine: wait, but only until `end` is called; after that, for a moment.

        `asked`: seconds that a server asked to wait, which are kept after `end`, too.
        """
        if self._wake is not None and not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
        elif self.ending:
            await asyncio.sleep(max(min(seconds, DRAIN_PAUSE_SECONDS), asked))

    def _try_start(self) -> bool:
        """Start the thread unless it was started; return whether that has succeeded."""
        with self._lock:
            if self._thread is not None:
                return True
            thread = threading.Thread(target=self._run, name="stepwell-sender", daemon=True)
            self._journal.sender_alive = True
            try:
                thread.start()
            except RuntimeError as error:  # the thread limit is reached, or the interpreter shuts down
                self._journal.sender_alive = False
                self._failed(f"the sender can't start: {error}")
                return False
            self._thread = thread
            return True

    def _stop_beating(self) -> None:
        if self._beats:
            self._beats = False
            HEART.remove(self)

    def _call(self, action: Callable[[], object]) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
                loop.call_soon_threadsafe(action)

    def _run(self) -> None:
        attempt = 0
        try:
            while not self._try_run(attempt):
                attempt += 1
        finally:
            self._journal.sender_alive = False

    def _try_run(self, attempt: int) -> bool:
        """Run the coroutine once; return True to end the thread."""
        last = self._end.is_set()
        try:
            with contextlib.suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(self.run_in_loop())
            return True
        except Exception as error:
            # Boundary of the thread: whatever happens, the journal has all data and training continues.
            self._failed(f"the sender stopped: {type(error).__name__}: {error}")
        if not last:
            delay = retry_delay(attempt, self._retry_seconds, random.random())  # noqa: S311 - jitter
            self._end.wait(delay)
        return last

    async def run_in_loop(self) -> None:
        """Run the coroutine in the running event loop, as the thread does."""
        self._task = asyncio.current_task()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self.ending:  # end() was called before there was an event loop
            self._wake.set()
        await self._main()
