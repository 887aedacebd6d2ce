"""What one partition holds in memory between Kafka and the next flush: plain data, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.flush.policy import FlushPolicy, cut
from stepwell_ingestor.messages import Message


class Portion(NamedTuple):
    """What one flush takes: the messages before the offset `end`; `planned` when that end was committed before."""

    messages: list[Message]
    end: int
    planned: bool


class PartitionBuffer:
    """The messages of one partition that are read and not settled, in the order of their offsets.

    `planned_end` is the end of a flush that an owner before left unfinished: exactly the messages before it go first.
    """

    def __init__(self, start: int | None = None, planned_end: int | None = None) -> None:
        self.start = start
        self.planned_end = planned_end
        self.bytes = 0
        self._messages: list[Message] = []
        self._first_at: float | None = None

    @property
    def next_offset(self) -> int | None:
        """The first offset that is not settled, None before anything is known of the partition."""
        return self.start if self.start is not None or not self._messages else self._messages[0].offset

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""
        return not self._messages

    def add(self, messages: Sequence[Message], now: float) -> None:
        """Take in messages that were read at `now`."""
        if messages:
            self._messages += messages
            self.bytes += sum(message.size for message in messages)
            self._first_at = now if self._first_at is None else self._first_at

    def is_due(self, policy: FlushPolicy, position: int, now: float) -> bool:
        """Say whether to flush now; `position` is the offset that is read next."""
        if self.planned_end is not None:
            return position >= self.planned_end
        return policy.is_due(self.bytes, self._first_at, now)

    def portion(self, policy: FlushPolicy) -> Portion:
        """Return what the next flush takes; it stays here until `settle`.

        Raises:
            PlanError: when the log no longer holds what a plan names.
        """
        if self.planned_end is None:
            count = cut([message.size for message in self._messages], policy.max_bytes)
            return Portion(self._messages[:count], self._messages[count - 1].offset + 1, False)
        messages = [message for message in self._messages if message.offset < self.planned_end]
        if not messages or messages[0].offset != self.start:
            first = messages[0].offset if messages else self.planned_end
            raise PlanError(f"the log begins at {first}, behind the planned flush [{self.start}, {self.planned_end})")
        return Portion(messages, self.planned_end, True)

    def settle(self, portion: Portion, now: float) -> None:
        """Let go of what was flushed."""
        del self._messages[: len(portion.messages)]
        self.bytes -= sum(message.size for message in portion.messages)
        self.start, self.planned_end = portion.end, None
        self._first_at = now if self._messages else None
