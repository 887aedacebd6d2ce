"""What should wake an operator: how much of what comes can't be used. Decisions over plain data, put into gauges."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from stepwell_ingestor import telemetry
from stepwell_ingestor.messages import DeadLetter, Message

WINDOW_EVENTS: Final = 1_000
"""The alarm looks at the last so many events of an ingestor, over all its partitions."""

LEAST_DEAD_LETTERS: Final = 20
"""Fewer dead letters in the window are strays, however few events there are beside them."""


class DeadLetterAlarm:
    """The share of dead letters among the last events, and whether it is above what is let pass."""

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
        """Whether the share is too large, and no mere stray makes it so."""
        return self._dead >= LEAST_DEAD_LETTERS and self.share > self._alarm_share

    def settled(self, messages: Sequence[Message], dead: Sequence[DeadLetter]) -> None:
        """Take in what became of events, the latest last."""
        unusable = {letter.message.offset for letter in dead}
        self._window.extend(message.offset in unusable for message in messages[-WINDOW_EVENTS:])
        self._dead = sum(self._window)

    def report(self, messages: Sequence[Message], dead: Sequence[DeadLetter]) -> None:
        """Take in what became of events, and tell the metrics."""
        self.settled(messages, dead)
        telemetry.gauge("stepwell_ingestor_deadletter_share", self.share)
        telemetry.gauge("stepwell_ingestor_deadletter_alarm", self.rings)
