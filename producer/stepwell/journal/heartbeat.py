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


class Beating(Protocol):
    """A journal that shows that its process lives."""

    def beat(self) -> None:
        """Store a sign of life."""


class _Heart:
    _journals: weakref.WeakSet[Beating]
    _stop: threading.Event
    _thread: threading.Thread | None

    def __init__(self) -> None:
        self.reset()

    def add(self, journal: Beating) -> None:
        """Beat for a journal from now on, until it is removed. Raises: RuntimeError if no thread can be started."""
        self._journals.add(journal)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="stepwell-heartbeat", daemon=True)
            self._thread.start()

    def remove(self, journal: Beating) -> None:
        """Stop beating for a journal."""
        self._journals.discard(journal)

    def _run(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            for journal in list(self._journals):
                journal.beat()

    def reset(self) -> None:
        """In a forked child: forget the thread and the journals, which are its parent's."""
        self._journals = weakref.WeakSet()
        self._stop = threading.Event()
        self._thread = None


HEART: Final = _Heart()
os.register_at_fork(after_in_child=HEART.reset)
