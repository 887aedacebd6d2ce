"""The in-memory buffer of a partition between Kafka and the next flush; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.flush.policy import FlushPolicy, count_next_flush
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.models import PlanMark


class FlushMessages(NamedTuple):
    """The messages of one flush, of the offsets [start, end); `plan` if it is committed already.

    The first message may have a later offset than `start`, as after a transaction's marker.
    """

    start: int
    messages: list[Message]
    end: int
    plan: PlanMark | None = None


class PartitionBuffer:
    """The messages of one partition that are read and not settled, in order of offset.

    `plan` is that of a flush which a previous owner left unfinished: the next flush has exactly the messages before
    its end.
    """

    def __init__(self, start: int | None = None, plan: PlanMark | None = None) -> None:
        self.start = start
        self.plan = plan
        self.bytes = 0
        self._messages: list[Message] = []
        self._first_at: float | None = None

    @property
    def next_offset(self) -> int | None:
        """The first offset that is not settled, None if nothing is known of the partition."""
        return self.start if self.start is not None or not self._messages else self._messages[0].offset

    @property
    def expected(self) -> int | None:
        """The lowest offset that the next message may have, None if nothing is known of the partition."""
        return self._messages[-1].offset + 1 if self._messages else self.start

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
        if self.plan is not None:
            return position >= self.plan.end
        return policy.is_due(self.bytes, self._first_at, now)

    def next_flush(self, policy: FlushPolicy) -> FlushMessages:
        """Return the messages of the next flush; they stay in the buffer until `settle`.

        Raises:
            PlanError: if the log holds no message of a plan.
        """
        messages = self._messages
        start = messages[0].offset if self.start is None else self.start
        if self.plan is not None:
            planned = [message for message in messages if message.offset < self.plan.end]
            if planned:
                return FlushMessages(start, planned, self.plan.end, self.plan)
            raise PlanError(f"the log has no message of the planned flush [{start}, {self.plan.end})")
        messages = messages[: count_next_flush([message.size for message in messages], policy.max_bytes)]
        return FlushMessages(start, messages, messages[-1].offset + 1)

    def settle(self, flushed: FlushMessages, now: float) -> None:
        """Remove the messages of a completed flush."""
        del self._messages[: len(flushed.messages)]
        self.bytes -= sum(message.size for message in flushed.messages)
        self.start, self.plan = flushed.end, None
        self._first_at = now if self._messages else None
