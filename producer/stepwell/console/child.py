"""Capture in forked children: lines are written as they are printed, without a thread.

So a child that exits abruptly loses no line.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from stepwell.console.capture import Write
from stepwell.console.lines import Lines

_STATE_SECONDS: Final = 1.0


class ChildLines:
    """Captures the console output of a forked child by line.

    Attributes:
        dropped: printed lines that were not recorded.
    """

    def __init__(self, write: Write) -> None:
        self.dropped = 0
        self._write = write
        # Reentrant: a signal handler may print while the main thread does.
        self._lock = threading.RLock()
        self._lines: dict[str, Lines] = {}
        self._state_at = 0.0

    def put(self, name: str, text: str) -> None:
        """Add output of a stream, and write the lines that it completes."""
        with self._lock:
            lines = self._lines.setdefault(name, Lines())
            for line in lines.feed(text):
                self._keep(name, line, stays=False)
            now = time.monotonic()
            if lines.open and now - self._state_at >= _STATE_SECONDS:
                self._state_at = now
                self._keep(name, lines.open, stays=True)

    def pending_lines(self) -> int:
        """Return 0: nothing is queued."""
        return 0

    def stop(self) -> None:
        """Write unfinished lines."""
        with self._lock:
            for name, lines in self._lines.items():
                for line in lines.end():
                    self._keep(name, line, stays=False)

    def _keep(self, name: str, line: str, *, stays: bool) -> None:
        if not self._write(name, line, time.time_ns() // 1000, stays) and not stays:
            self.dropped += 1
