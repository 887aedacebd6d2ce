"""What a forked child prints, to rows as it is printed: without a thread, so that a child that just ends loses none."""

from __future__ import annotations

import threading
import time
from typing import Final

from stepwell.console.capture import Write
from stepwell.console.lines import Lines

_STATE_SECONDS: Final = 1.0


class ChildLines:
    """The lines of a forked child's console output.

    Attributes:
        dropped: lines that were printed and not kept.
    """

    def __init__(self, write: Write) -> None:
        self.dropped = 0
        self._write = write
        # Reentrant: a signal handler may print while the main thread does.
        self._lock = threading.RLock()
        self._lines: dict[str, Lines] = {}
        self._state_at = 0.0

    def put(self, name: str, text: str) -> None:
        """Take a piece of a stream's output, and write the lines that it ends."""
        with self._lock:
            lines = self._lines.setdefault(name, Lines())
            for line in lines.feed(text):
                self._keep(name, line, stays=False)
            now = time.monotonic()
            if lines.open and now - self._state_at >= _STATE_SECONDS:
                self._state_at = now
                self._keep(name, lines.open, stays=True)

    def waiting_in_child(self) -> int:
        """Return 0: nothing waits."""
        return 0

    def stop(self) -> None:
        """Write what is unfinished."""
        with self._lock:
            for name, lines in self._lines.items():
                for line in lines.end():
                    self._keep(name, line, stays=False)

    def _keep(self, name: str, line: str, *, stays: bool) -> None:
        if not self._write(name, line, time.time_ns() // 1000, stays) and not stays:
            self.dropped += 1
