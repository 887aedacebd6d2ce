"""Several events as one body of bytes: each is preceded by its length, 4 bytes, big-endian.

The events are message values as on Kafka. Key and headers are not part of the form: the key is the run's path, which
the event itself names, and no header is a producer's to set. The record's time is that of its arrival at the gateway.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from stepwell_schemas.errors import FramingError

MEDIA_TYPE: Final = "application/vnd.stepwell.events"
"""Media type of such a body."""

_LENGTH: Final = struct.Struct(">I")
FRAME_BYTES: Final = _LENGTH.size
"""Bytes that precede each event."""


def join_events(payloads: Iterable[bytes]) -> bytes:
    """Return events as one body."""
    parts: list[bytes] = []
    for payload in payloads:
        parts += (_LENGTH.pack(len(payload)), payload)
    return b"".join(parts)


def split_events(body: bytes, limit: int) -> list[bytes]:
    """Return the events of a body.

    Raises:
        FramingError: if the body ends within an event, or has none, or more than `limit`.
    """
    events: list[bytes] = []
    place = 0
    while place < len(body):
        index = len(events)
        if index >= limit:
            raise FramingError(index, f"a request has at most {limit:,} events")
        start = place + FRAME_BYTES
        if start > len(body):
            raise FramingError(index, f"the body ends within the {FRAME_BYTES} bytes of its length")
        (size,) = _LENGTH.unpack_from(body, place)
        place = start + size
        if place > len(body):
            raise FramingError(index, f"its length is {size:,} bytes; {len(body) - start:,} are left in the body")
        events.append(body[start:place])
    if not events:
        raise FramingError(0, "the body has no event")
    return events
