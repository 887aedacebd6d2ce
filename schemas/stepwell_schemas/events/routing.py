"""The run that an encoded event belongs to, read without decoding the event.

Each schema begins with `entity`, `project` and `run_id`, so the work does not depend on the event's size. The rest of
the event is not looked at: the ingestor decides whether it can be used.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

from stepwell_schemas.errors import DeadLetterReason, UnusableEventError
from stepwell_schemas.events.codec import SINGLE_OBJECT_MAGIC, known_fingerprints
from stepwell_schemas.limits import IDENTIFIER_MAX_CHARS
from stepwell_schemas.rules.identifiers import RunPath

_HEAD_BYTES: Final = len(SINGLE_OBJECT_MAGIC) + 8
_UTF8_BYTES: Final = 4
_IDENTIFIER_MAX_BYTES: Final = _UTF8_BYTES * IDENTIFIER_MAX_CHARS
_VARINT_BYTES: Final = 10


class RoutedEvent(NamedTuple):
    """An encoded event and its run, whose path is the key of the Kafka record."""

    run: RunPath
    payload: bytes


def route_event(payload: bytes) -> RoutedEvent:
    """Return an encoded event with its run.

    Raises:
        UnusableEventError: if it has no known schema, or ends before its run.
        IdentifierError: if a part of the run's path is invalid.
    """
    if payload[: len(SINGLE_OBJECT_MAGIC)] != SINGLE_OBJECT_MAGIC:
        found = payload[: len(SINGLE_OBJECT_MAGIC)].hex() or "nothing"
        detail = f"begins with {found}; an event begins with {SINGLE_OBJECT_MAGIC.hex()} (Avro single object)"
        raise UnusableEventError(DeadLetterReason.UNKNOWN_FRAMING, detail)
    fingerprint = payload[len(SINGLE_OBJECT_MAGIC) : _HEAD_BYTES]
    if fingerprint not in _fingerprints():
        detail = f"fingerprint {fingerprint.hex()} is none of this version's events"
        raise UnusableEventError(DeadLetterReason.UNKNOWN_SCHEMA, detail)
    entity, place = _read_text(payload, _HEAD_BYTES, "entity")
    project, place = _read_text(payload, place, "project")
    run_id, _ = _read_text(payload, place, "run_id")
    return RoutedEvent(RunPath.checked(entity, project, run_id), payload)


@cache
def _fingerprints() -> frozenset[bytes]:
    return known_fingerprints()


def _read_text(payload: bytes, place: int, field: str) -> tuple[str, int]:
    """Return the Avro string at a place and the place after it: its length is a zigzag varint."""
    number = shift = 0
    for byte in payload[place : place + _VARINT_BYTES]:
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise _malformed(field, "its length has no end")
    size = (number >> 1) ^ -(number & 1)
    if not 0 <= size <= _IDENTIFIER_MAX_BYTES:
        raise _malformed(field, f"its length is {size:,} bytes; it has at most {_IDENTIFIER_MAX_BYTES}")
    raw = payload[place : place + size]
    if len(raw) < size:
        raise _malformed(field, f"its length is {size:,} bytes; {len(raw):,} are left")
    try:
        return raw.decode(), place + size
    except UnicodeDecodeError:
        raise _malformed(field, "it is not UTF-8") from None


def _malformed(field: str, rule: str) -> UnusableEventError:
    return UnusableEventError(DeadLetterReason.MALFORMED, f"{field}: {rule}")
