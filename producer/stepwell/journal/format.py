"""File format of journals, and their header. All numbers are little-endian:

    header (8,192 bytes, in two halves): magic, version, CRC and length of a JSON text (`JournalInfo`); the acknowledged
                          position with a CRC of its own (first half only); the second half repeats the text, so that
                          no single damaged byte makes a journal unreadable
    record: u32 length of the whole record, u32 CRC-32 of the body seeded with the length, body
    body:   u32 tag, then by tag: 0 a layout's definition, 1 a row as JSON, 2 an event as JSON, 3 a chunk of a media
            file (u32 length of a JSON head, the head, the bytes), from 16 on a packed row

The length is written last, and a length of 0 ends the journal, so that a torn tail is never read as a record. Rows,
events and chunks are numbered 0, 1, 2, …: the `sequence` of the events in Kafka. Definitions have no number. The
chunks of a file come before the row that refers to it.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from typing import Final, NamedTuple

from stepwell.errors import JournalError, NotAJournalError
from stepwell_schemas.limits import KIB

MAGIC: Final = b"STEPWJNL"
VERSION: Final = 2
HEADER_BYTES: Final = 8 * KIB
HALVES: Final = (0, HEADER_BYTES // 2)
HEADER: Final = struct.Struct("<8sIII")
ACKNOWLEDGED: Final = struct.Struct("<QQI")
ACKNOWLEDGED_AT: Final = 32
TEXT_AT: Final = 64
TEXT_MAX_BYTES: Final = HALVES[1] - TEXT_AT

RECORD_HEAD: Final = struct.Struct("<II")
TAG: Final = struct.Struct("<I")
MEDIA_HEAD: Final = struct.Struct("<I")
TAG_LAYOUT: Final = 0
TAG_ROW: Final = 1
TAG_EVENT: Final = 2
TAG_MEDIA: Final = 3
FIRST_LAYOUT_TAG: Final = 16


class JournalInfo(NamedTuple):
    """Identity of a journal: the run, session and writer of its records.

    Attributes:
        started: start of the session in µs since the epoch, for display; the order of journals does not rest on it.
        first_step: first step of the session. keep: whether the file is kept after it has been delivered in full.
        generation: one more than the highest generation among the run's journals that the session saw when it began;
            the journals of a run are delivered in this order. 0 in journals of earlier versions.
        predecessor: session of the writer's journal before this one, "" if the session saw none.
        predecessor_sequence: number of records that the session knew the predecessor to have.
        destination: the service or brokers that the session delivers to, "" if unknown. offline: whether it delivers
            nothing by itself.
    """

    entity: str
    project: str
    run_id: str
    session: str
    writer: str
    started: int = 0
    first_step: int = 0
    keep: bool = False
    generation: int = 0
    predecessor: str = ""
    predecessor_sequence: int = 0
    destination: str = ""
    offline: bool = False


class Position(NamedTuple):
    """A position between two records: the byte offset, and the sequence number of the next numbered record."""

    offset: int
    sequence: int


START: Final = Position(HEADER_BYTES, 0)


def write_header(mapping: mmap.mmap, info: JournalInfo) -> None:
    """Write a new journal's header. Raises: JournalError when the names are too long for it."""
    text = json.dumps(info._asdict(), ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(text) > TEXT_MAX_BYTES:
        raise JournalError(f"writer {info.writer[:40]!r}…: a name of {len(info.writer):,} characters is too long")
    write_acknowledged(mapping, START)
    for half in reversed(HALVES):
        mapping[half + TEXT_AT : half + TEXT_AT + len(text)] = text
        HEADER.pack_into(mapping, half, MAGIC, VERSION, len(text), zlib.crc32(text))


def write_acknowledged(mapping: mmap.mmap, position: Position) -> None:
    """Write the acknowledged position into a journal's header."""
    packed = struct.pack("<QQ", *position)
    ACKNOWLEDGED.pack_into(mapping, ACKNOWLEDGED_AT, *position, zlib.crc32(packed))


def read_acknowledged(data: mmap.mmap | bytes) -> Position:
    """Return the acknowledged position; the start of the journal if the stored position is torn or damaged."""
    offset, sequence, crc = ACKNOWLEDGED.unpack_from(data, ACKNOWLEDGED_AT)
    valid = zlib.crc32(struct.pack("<QQ", offset, sequence)) == crc and HEADER_BYTES <= offset <= len(data)
    return Position(offset, sequence) if valid else START


def read_header(data: mmap.mmap | bytes, name: str = "the file") -> tuple[JournalInfo, Position]:
    """Return the journal's identity and its acknowledged position (the start, if that is torn).

    Raises:
        NotAJournalError: if there is no valid header.
    """
    if len(data) < HEADER_BYTES:
        raise NotAJournalError(f"{name} is not a journal: {len(data)} bytes are less than a header")
    heads = [HEADER.unpack_from(data, half) for half in HALVES]
    if all(magic != MAGIC or version != VERSION for magic, version, _, _ in heads):
        raise NotAJournalError(f"{name} is not a journal of format version {VERSION}")
    for half, (magic, version, length, crc) in zip(HALVES, heads, strict=True):
        text = bytes(data[half + TEXT_AT : half + TEXT_AT + min(length, TEXT_MAX_BYTES)])
        if (magic, version) == (MAGIC, VERSION) and zlib.crc32(text) == crc:
            fields = json.loads(text.decode("utf-8", "surrogatepass"))
            # Later versions may add fields.
            known = {name: value for name, value in fields.items() if name in JournalInfo._fields}
            return JournalInfo(**known), read_acknowledged(data)
    raise NotAJournalError(f"{name}: the journal's header is damaged")
