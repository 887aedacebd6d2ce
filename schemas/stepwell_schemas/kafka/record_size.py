"""Sizes of Kafka's records and record batches in addition to the events that they hold."""

from __future__ import annotations

from typing import Final

from stepwell_schemas.limits import KIB

_BATCH_HEAD_BYTES: Final = 61
_RECORD_HEAD_BYTES: Final = 32
"""Bytes of a record besides key and value: at most 21 of varints and 5 each of the lengths of key and value."""

_LEAST_ROOM: Final = KIB
_LONGEST_KEY: Final = 2 * KIB


def event_room(max_message_bytes: int, key: bytes) -> int:
    """Return the largest event that fits in a record batch of `max_message_bytes` without compression."""
    return max(_LEAST_ROOM, max_message_bytes - _BATCH_HEAD_BYTES - _RECORD_HEAD_BYTES - len(key))


def batch_bytes(event_bytes: int) -> int:
    """Return the size of a record batch that has room for an event of `event_bytes`, whatever its key."""
    return event_bytes + _BATCH_HEAD_BYTES + _RECORD_HEAD_BYTES + _LONGEST_KEY
