"""File formats of journals. All numbers are little-endian:

    journal (version 3): a folder `<name>.journal` with the file `head` and the segments `000000.segment`, …, in which
                          the records are
    head:   a header with the acknowledged position (`JournalHead`) and the heartbeat
    segment: a header that says where the segment begins, then records up to the end of the file
    header (8,192 bytes, in two halves): magic, version, CRC and length of a JSON text (`JournalInfo`, and of a segment
                          also `SegmentInfo`); the first half also has the acknowledged position and the heartbeat, each
                          with a CRC of its own; the second half repeats the text, so that no single damaged byte makes
                          a journal or a segment unreadable
    record: u32 length of the whole record, u32 CRC-32 of the body seeded with the length, body
    body:   u32 tag, then by tag: 0 a layout's definition, 1 a row as JSON, 2 an event as JSON, 3 a chunk of a media
            file (u32 length of a JSON head, the head, the bytes), from 16 on a packed row

Rows, events and chunks are numbered 0, 1, 2, … through all segments: the `sequence` of the events in Kafka.
Definitions have no number, and are repeated in each segment that uses them. The chunks of a file come before the row
that refers to it.

Offsets count the bytes of all segments, headers included, from the start of the first one, so that they stay the same
when delivered segments have been removed. The segment at which the next one begins is complete there.

A journal of version 2 is one file: a header, then records, then zeros that were allocated and not written.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, Final, NamedTuple

from stepwell.errors import JournalError, NotAJournalError
from stepwell_schemas.limits import KIB

MAGIC: Final = b"STEPWJNL"
VERSION: Final = 3
SINGLE_FILE_VERSION: Final = 2
HEADER_BYTES: Final = 8 * KIB
HALVES: Final = (0, HEADER_BYTES // 2)
HEADER: Final = struct.Struct("<8sIII")
ACKNOWLEDGED: Final = struct.Struct("<QQI")
ACKNOWLEDGED_AT: Final = 32
TEXT_AT: Final = 64
TEXT_MAX_BYTES: Final = HALVES[1] - TEXT_AT - 64
HEARTBEAT: Final = struct.Struct("<QQBI")
HEARTBEAT_AT: Final = HALVES[1] - 64

JOURNAL_SUFFIX: Final = ".journal"
HEAD_NAME: Final = "head"
SEGMENT_SUFFIX: Final = ".segment"

RECORD_HEAD: Final = struct.Struct("<II")
TAG: Final = struct.Struct("<I")
MEDIA_HEAD: Final = struct.Struct("<I")
TAG_LAYOUT: Final = 0
TAG_ROW: Final = 1
TAG_EVENT: Final = 2
TAG_MEDIA: Final = 3
FIRST_LAYOUT_TAG: Final = 16


class JournalInfo(NamedTuple):
    """Identity of a journal: the run, session and writer of its records, and the process that writes it.

    Attributes:
        started: start of the session in µs since the epoch, for display; the order of journals does not rest on it.
        first_step: first step of the session. keep: whether the journal is kept after it has been delivered in full.
        lineage: session with which the line of sessions began that count their steps on from one another; "" if the
            ingestor counts the steps. lineage_step: first step of that line, as its first session knew it.
        generation: one more than the highest generation among the run's journals that the session saw when it began;
            the journals of a run are delivered in this order. 0 in journals of earlier versions.
        predecessor: session of the writer's journal before this one, "" if the session saw none.
        predecessor_sequence: number of records that the session knew the predecessor to have.
        destination: the service or brokers that the session delivers to, "" if unknown. offline: whether it delivers
            nothing by itself.
        host, boot: name and boot id of the machine; "" if unknown. pid, pid_started: the process, and the time at which
            it started, in clock ticks after the boot; 0 if unknown.
    """

    entity: str
    project: str
    run_id: str
    session: str
    writer: str
    started: int = 0
    first_step: int = 0
    keep: bool = False
    lineage: str = ""
    lineage_step: int = 0
    generation: int = 0
    predecessor: str = ""
    predecessor_sequence: int = 0
    destination: str = ""
    offline: bool = False
    host: str = ""
    boot: str = ""
    pid: int = 0
    pid_started: int = 0


class SegmentInfo(NamedTuple):
    """The start of a segment.

    Attributes:
        number: its number, from 0 on. base: the offset of its first byte. sequence: the number of its first record.
        step: the writer's current step at its start; -1 if unknown. begun: whether the row of that step has begun.
    """

    number: int = 0
    base: int = 0
    sequence: int = 0
    step: int = -1
    begun: bool = False


class Position(NamedTuple):
    """A position between two records: the byte offset, and the sequence number of the next numbered record."""

    offset: int
    sequence: int


class Heartbeat(NamedTuple):
    """The sign of life of a journal's process.

    Attributes:
        beats: a count that rises every few seconds while the journal is open. records: the number of records then.
        released: whether the process has released the journal, so that any process may deliver it.
    """

    beats: int = 0
    records: int = 0
    released: bool = False


class Header(NamedTuple):
    """The content of a header."""

    version: int
    info: JournalInfo
    segment: SegmentInfo
    acknowledged: Position
    heartbeat: Heartbeat


START: Final = Position(0, 0)


def build_header(info: JournalInfo, segment: SegmentInfo | None = None) -> bytes:
    """Return the header of a new file. Raises: JournalError when the names are too long for it."""
    fields: dict[str, Any] = info._asdict()
    if segment is not None:
        fields["segment"] = segment._asdict()
    text = json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if len(text) > TEXT_MAX_BYTES:
        raise JournalError(f"writer {info.writer[:40]!r}…: a name of {len(info.writer):,} characters is too long")
    header = bytearray(HEADER_BYTES)
    for half in HALVES:
        HEADER.pack_into(header, half, MAGIC, VERSION, len(text), zlib.crc32(text))
        header[half + TEXT_AT : half + TEXT_AT + len(text)] = text
    header[ACKNOWLEDGED_AT : ACKNOWLEDGED_AT + ACKNOWLEDGED.size] = pack_acknowledged(START)
    header[HEARTBEAT_AT : HEARTBEAT_AT + HEARTBEAT.size] = pack_heartbeat(Heartbeat())
    return bytes(header)


def pack_acknowledged(position: Position) -> bytes:
    """Return the acknowledged position as it stands at ACKNOWLEDGED_AT."""
    return ACKNOWLEDGED.pack(*position, zlib.crc32(struct.pack("<QQ", *position)))


def pack_heartbeat(heartbeat: Heartbeat) -> bytes:
    """Return the heartbeat as it stands at HEARTBEAT_AT."""
    return HEARTBEAT.pack(*heartbeat, zlib.crc32(struct.pack("<QQB", *heartbeat)))


def read_acknowledged(header: bytes) -> Position:
    """Return the acknowledged position of a header; the start of the journal if it is torn or damaged."""
    offset, sequence, crc = ACKNOWLEDGED.unpack_from(header, ACKNOWLEDGED_AT)
    return Position(offset, sequence) if zlib.crc32(struct.pack("<QQ", offset, sequence)) == crc else START


def read_heartbeat(header: bytes) -> Heartbeat:
    """Return the heartbeat of a header; one without beats if it is torn or damaged."""
    beats, records, released, crc = HEARTBEAT.unpack_from(header, HEARTBEAT_AT)
    valid = zlib.crc32(struct.pack("<QQB", beats, records, released)) == crc
    return Heartbeat(beats, records, bool(released)) if valid else Heartbeat()


def read_header(data: bytes, name: str = "the file") -> Header:
    """Return the header that `data` begins with.

    Raises:
        NotAJournalError: if there is no valid header.
    """
    if len(data) < HEADER_BYTES:
        raise NotAJournalError(f"{name} is not a journal: {len(data)} bytes are less than a header")
    heads = [HEADER.unpack_from(data, half) for half in HALVES]
    versions = {VERSION, SINGLE_FILE_VERSION}
    if all(magic != MAGIC or version not in versions for magic, version, _, _ in heads):
        raise NotAJournalError(f"{name} is not a journal of format version {VERSION}")
    for half, (magic, version, length, crc) in zip(HALVES, heads, strict=True):
        text = bytes(data[half + TEXT_AT : half + TEXT_AT + min(length, HALVES[1] - TEXT_AT)])
        if magic == MAGIC and version in versions and zlib.crc32(text) == crc:
            fields = json.loads(text.decode("utf-8", "surrogatepass"))
            segment = SegmentInfo(**fields.pop("segment", {}))
            # A later release may have added fields; they say nothing about the records.
            info = JournalInfo(**{key: value for key, value in fields.items() if key in JournalInfo._fields})
            heartbeat = Heartbeat() if version == SINGLE_FILE_VERSION else read_heartbeat(data)
            return Header(version, info, segment, read_acknowledged(data), heartbeat)
    raise NotAJournalError(f"{name}: the journal's header is damaged")
