"""What is printed, from any thread, to rows: the printing thread only appends to a queue, another one does the rest.

Memory is bounded: a flood that the thread can't follow is dropped and counted, from what is kept and never from what is
printed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from stepwell.console.lines import Lines

HELD_MAX_CHARS: Final = 4 * 1024 * 1024
"""Printed characters that may wait to be written; what is printed beyond is dropped and counted."""

TICK_SECONDS: Final = 0.1
LINES_A_TICK: Final = 1_000
"""Lines written between two rests, so that a flood takes a small share of the interpreter from the training."""

_STATE_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 5.0

Write = Callable[[str, str, int, bool], bool]
"""Writes a line: stream name, text, time in µs, whether the step stays for the next; False when it was dropped."""


class Capture:
    """The lines of a process's console output.

    Attributes:
        dropped: lines that were printed and not kept.
    """

    def __init__(self, write: Write) -> None:
        self.dropped = 0
        self._write = write
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
        """Begin to write. Raises: RuntimeError when no thread can be had."""
        self._thread.start()

    def put(self, name: str, text: str) -> None:
        """Take a piece of a stream's output."""
        with self._lock:
            if self._held + len(text) > HELD_MAX_CHARS:
                self.lose(name, text.count("\n"))
                return
            self._held += len(text)
            self._queue.append((name, text, time.time_ns() // 1000))
        if not self._wake.is_set():
            self._wake.set()

    def lose(self, name: str, lines: int) -> None:
        """Count lines of a stream that could not be kept."""
        with self._lock:
            self._gaps[name] = self._gaps.get(name, 0) + lines

    def waiting_in_child(self) -> int:
        """In a forked child, where nobody else runs: return how many lines had been taken and not written yet."""
        return sum(text.count("\n") for _, text, _ in self._queue)

    def stop(self) -> None:
        """Write all that was taken, within a few seconds, and end."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(_STATE_SECONDS if any(self._states_now().values()) else None)
            self._wake.clear()
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
            with self._lock:
                name, text, at = self._queue.popleft()
                self._held -= len(text)
            for line in self._lines.setdefault(name, Lines()).feed(text):
                self._write_line(name, line, at)
                written += 1
        with self._lock:
            gaps = {} if self._queue else dict(self._gaps)
            for name in gaps:
                del self._gaps[name]
        for name, lost in gaps.items():
            self.dropped += lost
            said = f"[{lost:,} lines are not kept here: more was printed than could be followed]"
            self._write(name, said, time.time_ns() // 1000, False)

    def _write_line(self, name: str, line: str, at: int) -> None:
        self._states.pop(name, None)
        if not self._write(name, line, at, False):
            self.dropped += 1

    def _states_now(self) -> dict[str, str]:
        """Return what unfinished lines show and was not written yet."""
        shown = {name: lines.open for name, lines in self._lines.items()}
        return {name: state for name, state in shown.items() if state and self._states.get(name) != state}

    def _write_states(self) -> None:
        """Write what unfinished lines show, at most once a second; the next state replaces it."""
        now = time.monotonic()
        if now - self._state_at < _STATE_SECONDS:
            return
        for name, state in self._states_now().items():
            self._state_at = now
            self._states[name] = state
            self._write(name, state, time.time_ns() // 1000, True)
