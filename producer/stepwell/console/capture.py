"""Capture of printed output: printing threads append to a queue, and one background thread writes the rows.

Memory is bounded: output that the thread can't keep up with is dropped from the recording and counted. The printed
output itself is never dropped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from stepwell.console.lines import Lines

HELD_MAX_CHARS: Final = 4 * 1024 * 1024
"""Upper bound of queued characters; further output is dropped from the recording and counted."""

TICK_SECONDS: Final = 0.1
LINES_A_TICK: Final = 1_000
"""Lines written per tick, so that a flood of output takes only a small share of the interpreter's time."""

_STATE_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 5.0

Write = Callable[[str, str, int, bool], bool]
"""Writes a line: stream name, text, time in µs, whether the next line replaces it; returns False if dropped."""


class Capture:
    """Captures the console output of a process by line.

    Attributes:
        dropped: printed lines that were not recorded.
    """

    def __init__(self, write: Write, check: Callable[[], None] | None = None) -> None:
        """Prepare the thread; it calls `check` every second, and whenever there is output."""
        self.dropped = 0
        self._write = write
        self._check = check or _no_check
        # Reentrant: a signal handler may print while the main thread does.
        self._lock = threading.RLock()
        self._queue: deque[tuple[str, str, int]] = deque()
        self._held = 0
        self._gaps: dict[str, int] = {}
        self._lines: dict[str, Lines] = {}
        self._states: dict[str, str] = {}
        self._state_at = 0.0
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stepwell-console", daemon=True)

    def start(self) -> None:
        """Start the thread. Raises: RuntimeError if no thread can be started."""
        self._thread.start()

    def put(self, name: str, text: str) -> None:
        """Queue output of a stream."""
        with self._lock:
            if self._held + len(text) > HELD_MAX_CHARS:
                self.count_lost(name, text.count("\n"))
                return
            self._held += len(text)
            self._queue.append((name, text, time.time_ns() // 1000))
        if not self._wake.is_set():
            self._wake.set()

    def count_lost(self, name: str, lines: int) -> None:
        """Count lines of a stream that were lost."""
        with self._lock:
            self._gaps[name] = self._gaps.get(name, 0) + lines

    def pending_lines(self) -> int:
        """In a forked child, where no other thread runs: return the number of queued lines."""
        return sum(text.count("\n") for _, text, _ in self._queue)

    def stop(self) -> None:
        """Write all queued output, within a few seconds, and end the thread."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(_STATE_SECONDS)
            self._wake.clear()
            self._check()
            self._stopped.wait(TICK_SECONDS)
            self._take(LINES_A_TICK)
            self._write_states()
            if self._queue:
                self._wake.set()
        while self._queue:
            self._take(LINES_A_TICK)
        for name, lines in self._lines.items():
            for line in lines.end():
                self._write_line(name, line, time.time_ns() // 1000)

    def _take(self, most: int) -> None:
        written = 0
        while self._queue and written < most:
            name, text, at = self._queue[0]
            for line in self._lines.setdefault(name, Lines()).feed(text):
                self._write_line(name, line, at)
                written += 1
            # Only now: a child that is forked meanwhile counts the lines as pending, and numbers its own after them.
            with self._lock:
                self._queue.popleft()
                self._held -= len(text)
        with self._lock:
            gaps = {} if self._queue else dict(self._gaps)
            for name in gaps:
                del self._gaps[name]
        for name, lost in gaps.items():
            self.dropped += lost
            marker = f"[{lost:,} lines were not recorded: too much output]"
            self._write(name, marker, time.time_ns() // 1000, False)

    def _write_line(self, name: str, line: str, at: int) -> None:
        self._states.pop(name, None)
        if not self._write(name, line, at, False):
            self.dropped += 1

    def _states_now(self) -> dict[str, str]:
        """Return the visible text of unfinished lines that was not written yet."""
        shown = {name: lines.open for name, lines in self._lines.items()}
        return {name: state for name, state in shown.items() if state and self._states.get(name) != state}

    def _write_states(self) -> None:
        """Write the visible text of unfinished lines, at most once a second; the next text replaces it."""
        now = time.monotonic()
        if now - self._state_at < _STATE_SECONDS:
            return
        for name, state in self._states_now().items():
            self._state_at = now
            self._states[name] = state
            self._write(name, state, time.time_ns() // 1000, True)


def _no_check() -> None:
    """Do nothing."""
