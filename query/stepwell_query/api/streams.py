"""Limits of open event streams, in total and per client; a stream keeps its slot until the client disconnects."""

from __future__ import annotations

from collections import Counter

from stepwell_query.errors import TooManyStreamsError
from stepwell_query.telemetry import EVENT_STREAMS


class StreamSlots:
    """Slots for event streams; not thread-safe, used from the event loop only."""

    def __init__(self, most: int, most_per_client: int) -> None:
        self._most = most
        self._most_per_client = most_per_client
        self._open: Counter[str] = Counter()

    def check(self, client: str) -> None:
        """Raise TooManyStreamsError if a client may not open a further stream."""
        if self._open[client] >= self._most_per_client:
            raise TooManyStreamsError(self._most_per_client, per_client=True)
        if self._open.total() >= self._most:
            raise TooManyStreamsError(self._most, per_client=False)

    def enter(self, client: str) -> None:
        """Take a slot."""
        self._open[client] += 1
        EVENT_STREAMS.inc()

    def leave(self, client: str) -> None:
        """Release a slot."""
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]
        EVENT_STREAMS.dec()
