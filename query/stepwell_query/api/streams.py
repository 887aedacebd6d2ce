"""How many streams of events are open, of all clients and of each: a stream keeps its place until its client leaves."""

from __future__ import annotations

from collections import Counter

from stepwell_query.errors import TooManyStreamsError
from stepwell_query.telemetry import EVENT_STREAMS


class StreamSlots:
    """Places for streams; used from the event loop alone."""

    def __init__(self, most: int, most_per_client: int) -> None:
        self._most = most
        self._most_per_client = most_per_client
        self._open: Counter[str] = Counter()

    def check(self, client: str) -> None:
        """Raise TooManyStreamsError when a client may open no further stream."""
        if self._open[client] >= self._most_per_client:
            raise TooManyStreamsError(self._most_per_client, of_client=True)
        if self._open.total() >= self._most:
            raise TooManyStreamsError(self._most, of_client=False)

    def enter(self, client: str) -> None:
        """Take a place."""
        self._open[client] += 1
        EVENT_STREAMS.inc()

    def leave(self, client: str) -> None:
        """Give a place back."""
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]
        EVENT_STREAMS.dec()
