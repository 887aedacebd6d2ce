"""The alarm on dead letters: it rings when their share among recent events is too large."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from stepwell_ingestor import telemetry
from stepwell_ingestor.messages import DeadLetter, Message

WINDOW_EVENTS: Final = 1_000
"""Number of recent events that the alarm considers, over all partitions of an ingestor."""

LEAST_DEAD_LETTERS: Final = 20
"""The alarm stays silent below this number of dead letters in the window, whatever their share."""


class DeadLetterAlarm:
    """Tracks the share of dead letters among recent events and compares it with a limit."""

    def __init__(self, alarm_share: float) -> None:
        self._alarm_share = alarm_share
        self._window: deque[bool] = deque(maxlen=WINDOW_EVENTS)
        self._dead = 0

    @property
    def share(self) -> float:
        """The share of dead letters, 0 to 1; 0 before the first event."""
        return self._dead / len(self._window) if self._window else 0.0

    @property
    def rings(self) -> bool:
        """True if the share exceeds the limit and the window has enough dead letters."""
        return self._dead >= LEAST_DEAD_LETTERS and self.share > self._alarm_share

    def settled(self, messages: Sequence[Message], dead: Sequence[DeadLetter]) -> None:
        """Record the outcome of events, in the order of their offsets."""
        unusable = {letter.message.offset for letter in dead}
        self._window.extend(message.offset in unusable for message in messages[-WINDOW_EVENTS:])
        self._dead = sum(self._window)

    def report(self, messages: Sequence[Message], dead: Sequence[DeadLetter]) -> None:
        """Record the outcome of events and set the gauges."""
        self.settled(messages, dead)
        telemetry.gauge("stepwell_ingestor_deadletter_share", self.share)
        telemetry.gauge("stepwell_ingestor_deadletter_alarm", self.rings)
