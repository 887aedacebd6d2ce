"""Lag of the event loop: the maximum delay of its timers over the last minute."""

from __future__ import annotations

from collections import deque
from typing import Final

LAG_ALARM_SECONDS: Final = 2.0
"""The alarm threshold. Clients have timeouts of 5 s and more; the lag of a healthy loop is milliseconds."""

_WINDOW_SECONDS: Final = 60.0


class LoopLag:
    """The maximum lag of the last minute; the time is an argument."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque()

    def observe(self, late_seconds: float, now: float) -> None:
        """Record the delay of a timer."""
        while self._late and self._late[-1][1] <= late_seconds:
            self._late.pop()
        self._late.append((now, max(late_seconds, 0.0)))

    def worst(self, now: float) -> float:
        """Return the maximum lag of the last minute, in seconds."""
        while self._late and self._late[0][0] < now - _WINDOW_SECONDS:
            self._late.popleft()
        return self._late[0][1] if self._late else 0.0

    def rings(self, now: float) -> bool:
        """Return whether the alarm is active."""
        return self.worst(now) >= LAG_ALARM_SECONDS
