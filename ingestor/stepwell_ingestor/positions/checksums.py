"""Checksums by which records are recognised when they are read again."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.models import Boundary

_PLACE: Final = struct.Struct(">qqi")
_NO_KEY: Final = -1


def record_checksum(message: Message, before: int = 0) -> int:
    """Return the CRC-32 of a record's offset, time, key and value, continued from the one of earlier records."""
    key = message.key
    place = _PLACE.pack(message.offset, message.timestamp, _NO_KEY if key is None else len(key))
    return crc32(message.value, crc32(key or b"", crc32(place, before)))


def records_checksum(messages: Sequence[Message]) -> int:
    """Return the CRC-32 over all records of a flush."""
    checksum = 0
    for message in messages:
        checksum = record_checksum(message, checksum)
    return checksum


def boundary_after(message: Message) -> Boundary:
    """Return the boundary of a flush that ends with a record."""
    return Boundary(message.offset + 1, message.timestamp, record_checksum(message))
