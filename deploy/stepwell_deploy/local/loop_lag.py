"""Lag of the event loop: how much later than planned it runs what is due, over the last minute."""

from __future__ import annotations

from collections import deque
from typing import Final

LAG_ALARM_SECONDS: Final = 2.0
"""The alarm rings above this. Clients wait for 5 s and more; a loop in order is late by milliseconds."""

_WINDOW_SECONDS: Final = 60.0


class LoopLag:
    """The worst lag of the last minute; the time is an argument."""

    def __init__(self) -> None:
        self._late: deque[tuple[float, float]] = deque()

    def observe(self, late_seconds: float, now: float) -> None:
        """Take in by how much a timer came late."""
        while self._late and self._late[-1][1] <= late_seconds:
            self._late.pop()
        self._late.append((now, max(late_seconds, 0.0)))

    def worst(self, now: float) -> float:
        """Return the worst lag of the last minute, in seconds."""
        while self._late and self._late[0][0] < now - _WINDOW_SECONDS:
            self._late.popleft()
        return self._late[0][1] if self._late else 0.0

    def rings(self, now: float) -> bool:
        """Say whether the alarm rings."""
        return self.worst(now) >= LAG_ALARM_SECONDS
