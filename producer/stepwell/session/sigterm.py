"""SIGTERM: deliver what was logged for a short time, then end as the signal would have ended the process.

Clusters send SIGTERM before they take a machine away, and the journal may be on a disk that goes with it. A handler is
installed only where there was none, in the main thread of a main process; it gives way to any handler set later.

A handler of Python runs only when the main thread executes Python code. A training that waits inside C, such as in a
collective operation whose peers have ended, would ignore SIGTERM. So the signal's number is also read from the wakeup
descriptor by a thread, which ends the process where the main thread does not.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from stepwell.session.exits import is_worker

_JOIN_SECONDS: Final = 1.0
"""Seconds that the watching thread leaves the main thread to end the process by itself."""

_DEFAULT: Final = 0
"""SIG_DFL in C."""


class _Handler:
    """The handler of this process, and the drain that it has begun."""

    def __init__(self, drain: Callable[[float], None], seconds: float) -> None:
        self.seconds = seconds
        self._drain = drain
        self._begun = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()
        self._ended.acquire()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Deliver, then end the process."""
        del number, frame
        self.drain()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    def drain(self) -> None:
        """Deliver in a thread, which a lock held by the interrupted main thread can't block for longer than `seconds`.

        `threading.Thread.start` takes such locks itself, so the thread is a plain one.
        """
        if self._begun.acquire(blocking=False):
            with contextlib.suppress(RuntimeError):  # the thread limit is reached
                _thread.start_new_thread(self._run, ())
        if self._ended.acquire(timeout=self.seconds):
            self._ended.release()

    def _run(self) -> None:
        try:
            self._drain(self.seconds)
        finally:
            self._ended.release()

    def _is_set(self) -> bool:
        return signal.getsignal(signal.SIGTERM) is self

    def watch(self, wakeups: socket.socket) -> None:
        """Read the numbers of signals, and end the process after a SIGTERM that is this handler's."""
        while numbers := wakeups.recv(64):
            if signal.SIGTERM in numbers and self._is_set():
                self.drain()
                time.sleep(_JOIN_SECONDS)
                # Python sets signal handlers in the main thread alone. Imported here: it is rarely needed.
                import ctypes

                ctypes.CDLL(None).signal(int(signal.SIGTERM), ctypes.c_void_p(_DEFAULT))
                os.kill(os.getpid(), signal.SIGTERM)


def drain_on_sigterm(drain: Callable[[float], None], seconds: float) -> bool:
    """Call `drain(seconds)` when SIGTERM arrives, and end the process by the signal then; return whether it is set.

    Does nothing if the process has a handler, ignores the signal, or is a worker of multiprocessing, and outside of
    the main thread.
    """
    if isinstance(present := signal.getsignal(signal.SIGTERM), _Handler):
        present.seconds = max(present.seconds, seconds)
        return True
    in_main = threading.current_thread() is threading.main_thread()
    if not (seconds and in_main and present is signal.SIG_DFL) or is_worker():
        return False
    handler = _Handler(drain, seconds)
    signal.signal(signal.SIGTERM, handler)
    with contextlib.suppress(OSError):
        _watch_signals(handler)
    return True


def _watch_signals(handler: _Handler) -> None:
    """Start the thread that reads signals, unless the program uses the wakeup descriptor itself."""
    receiving, sending = socket.socketpair()
    sending.setblocking(False)
    previous = signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
    if previous != -1:
        signal.set_wakeup_fd(previous)
        receiving.close()
        sending.close()
        return
    try:
        threading.Thread(target=handler.watch, args=(receiving,), name="stepwell-sigterm", daemon=True).start()
    except RuntimeError:  # the thread limit is reached
        signal.set_wakeup_fd(-1)
        receiving.close()
        sending.close()
        return
    # The descriptor stays with the process: signals may arrive until its end.
    os.set_inheritable(sending.detach(), False)


class _Fork(threading.local):
    """SIGTERM around a fork: a child ends by it immediately, and its parent does not notice.

    The child has its parent's handler and wakeup descriptor until `in_child` has run. A SIGTERM of the child before
    that would end the parent, and would be lost in the child. So the signal is blocked in the forking thread meanwhile.
    """

    blocked = False

    def before(self) -> None:
        """Block SIGTERM in this thread."""
        if isinstance(signal.getsignal(signal.SIGTERM), _Handler):
            earlier = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            self.blocked = signal.SIGTERM not in earlier

    def after(self) -> None:
        """Unblock it."""
        if self.blocked:
            self.blocked = False
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def in_child(self) -> None:
        """Remove the handler, then unblock the signal."""
        if isinstance(signal.getsignal(signal.SIGTERM), _Handler):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)
        self.after()


_fork = _Fork()
os.register_at_fork(before=_fork.before, after_in_parent=_fork.after, after_in_child=_fork.in_child)
