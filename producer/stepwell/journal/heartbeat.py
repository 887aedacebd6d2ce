"""The heartbeat of this process's journals: one thread for all of them.

A thread of its own, and neither the sender nor `log()`: offline runs have no sender, and a training may log nothing for
an hour.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Final, Protocol

from stepwell_schemas.limits import HEARTBEAT_SECONDS

_JOIN_SECONDS: Final = 1.0


class Beating(Protocol):
    """A journal that shows that its process lives."""

    def beat(self) -> None:
        """Store a sign of life."""


class _Heart:
    _lock: threading.Lock
    _journals: weakref.WeakSet[Beating]
    _stop: threading.Event
    _thread: threading.Thread | None

    def __init__(self) -> None:
        self.reset()

    def add(self, journal: Beating) -> None:
        """Beat for a journal from now on, until it is removed. Raises: RuntimeError if no thread can be started."""
        with self._lock:
            self._journals.add(journal)
            if self._thread is None or not self._thread.is_alive():
                self._stop = threading.Event()
                thread = threading.Thread(target=self._run, args=(self._stop,), name="stepwell-heartbeat", daemon=True)
                self._thread = None
                thread.start()
                self._thread = thread

    def remove(self, journal: Beating) -> None:
        """Stop beating for a journal; the thread ends with the last one."""
        with self._lock:
            self._journals.discard(journal)
            if self._journals or self._thread is None:
                return
            ending, self._thread = self._thread, None
            self._stop.set()
        if ending is not threading.current_thread():
            ending.join(_JOIN_SECONDS)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            for journal in list(self._journals):
                journal.beat()

    def reset(self) -> None:
        """In a forked child: forget the thread and the journals, which are its parent's."""
        self._lock = threading.Lock()
        self._journals = weakref.WeakSet()
        self._stop = threading.Event()
        self._thread = None


HEART: Final = _Heart()
os.register_at_fork(after_in_child=HEART.reset)
