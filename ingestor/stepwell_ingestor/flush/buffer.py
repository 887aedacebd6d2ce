"""The in-memory buffer of a partition between Kafka and the next flush; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.flush.policy import FlushPolicy, count_next_flush
from stepwell_ingestor.messages import Message


class FlushMessages(NamedTuple):
    """The messages of one flush, up to the offset `end`; `planned` if that end is already committed as a plan."""

    messages: list[Message]
    end: int
    planned: bool


class PartitionBuffer:
    """The messages of one partition that are read and not settled, in order of offset.

    `planned_end` is the end of a flush that a previous owner left unfinished: the next flush has exactly the messages
    before it.
    """

    def __init__(self, start: int | None = None, planned_end: int | None = None) -> None:
        self.start = start
        self.planned_end = planned_end
        self.bytes = 0
        self._messages: list[Message] = []
        self._first_at: float | None = None

    @property
    def next_offset(self) -> int | None:
        """The first offset that is not settled, None if nothing is known of the partition."""
        return self.start if self.start is not None or not self._messages else self._messages[0].offset

    @property
    def is_empty(self) -> bool:
        """True if the buffer holds no messages."""
        return not self._messages

    def add(self, messages: Sequence[Message], now: float) -> None:
        """Append messages read at `now`."""
        if messages:
            self._messages += messages
            self.bytes += sum(message.size for message in messages)
            self._first_at = now if self._first_at is None else self._first_at

    def is_due(self, policy: FlushPolicy, position: int, now: float) -> bool:
        """Return True if it is time to flush; `position` is the offset that is read next."""
        if self.planned_end is not None:
            return position >= self.planned_end
        return policy.is_due(self.bytes, self._first_at, now)

    def next_flush(self, policy: FlushPolicy) -> FlushMessages:
        """Return the messages of the next flush; they stay in the buffer until `settle`.

        Raises:
            PlanError: if the log no longer holds the messages of a plan.
        """
        if self.planned_end is None:
            count = count_next_flush([message.size for message in self._messages], policy.max_bytes)
            return FlushMessages(self._messages[:count], self._messages[count - 1].offset + 1, False)
        messages = [message for message in self._messages if message.offset < self.planned_end]
        if not messages or messages[0].offset != self.start:
            first = messages[0].offset if messages else self.planned_end
            raise PlanError(f"the log begins at {first}, after the planned flush [{self.start}, {self.planned_end})")
        return FlushMessages(messages, self.planned_end, True)

    def settle(self, flushed: FlushMessages, now: float) -> None:
        """Remove the messages of a completed flush."""
        del self._messages[: len(flushed.messages)]
        self.bytes -= sum(message.size for message in flushed.messages)
        self.start, self.planned_end = flushed.end, None
        self._first_at = now if self._messages else None
