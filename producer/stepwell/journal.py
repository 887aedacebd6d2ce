"""The journal: an append-only, memory-mapped file that holds everything a session logged.

What `log()` wrote belongs to the kernel at once and survives a SIGKILL of the process. The file is what the sender
and `stepwell sync` read; its format, all little-endian:

    header (4,096 bytes): magic, version, CRC and length of a JSON text (run path, session, writer), the acknowledged
                          position with a CRC of its own
    record: u32 length of the whole record, u32 CRC-32 of the body seeded with the length, body
    body:   u32 tag, then by tag: 0 a layout's definition, 1 a row as JSON, 2 an event as JSON, from 16 on a packed row

The length is written last and 0 ends the journal, so a torn tail is never taken for a record. Rows and events are
numbered 0, 1, 2, …: the `sequence` of the wire. Definitions have no number.

The bound applies to bytes not yet acknowledged. The disk's blocks are allocated before they are written to, so a full
disk is an outcome here and not a SIGBUS. A forked child never writes into its parent's mapping: what it appends is
dropped.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from stepwell.errors import JournalError, NotAJournalError
from stepwell.layout import Layout
from stepwell_schemas.limits import KIB, MIB

MAGIC: Final = b"STEPWJNL"
VERSION: Final = 1
HEADER_BYTES: Final = 4 * KIB
HEADER: Final = struct.Struct("<8sIII")
ACKNOWLEDGED: Final = struct.Struct("<QQI")
ACKNOWLEDGED_AT: Final = 32
TEXT_AT: Final = 64

RECORD_HEAD: Final = struct.Struct("<II")
TAG: Final = struct.Struct("<I")
TAG_LAYOUT: Final = 0
TAG_ROW: Final = 1
TAG_EVENT: Final = 2
FIRST_LAYOUT_TAG: Final = 16

_FIRST_BYTES: Final = MIB
_GROW_BYTES: Final = 64 * MIB
_BLOCK_POLL_SECONDS: Final = 0.01
_pack_head = RECORD_HEAD.pack_into
_crc32 = zlib.crc32

FullPolicy = Literal["block", "drop"]


class JournalInfo(NamedTuple):
    """Whose records a journal holds."""

    entity: str
    project: str
    run_id: str
    session: str
    writer: str


class Position(NamedTuple):
    """A place between two records: the byte offset, and the number of the next numbered record."""

    offset: int
    sequence: int


START: Final = Position(HEADER_BYTES, 0)


class Journal:
    """The journal being written. All methods may be called from any thread.

    Attributes:
        lock: held around an append; reentrant, because a signal handler may log while the main thread does.
        end: the offset after the last record. sequence: the number the next record gets.
        dropped: records the bound or a full disk left no room for.
    """

    def __init__(self, path: Path, info: JournalInfo, max_bytes: int, when_full: FullPolicy) -> None:
        """Create the file. Raises: JournalError."""
        self.path = path
        self.info = info
        self.lock = threading.RLock()
        self.end = HEADER_BYTES
        self.sequence = 0
        self.dropped = 0
        self.acknowledged = START
        self.sender_alive = False
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._layouts = 0
        self._pid = os.getpid()
        text = json.dumps(info._asdict()).encode()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._size = 0
            self.map = self._enlarge(_FIRST_BYTES)
        except OSError as error:
            raise JournalError(f"can't create the journal {path}: {error.strerror}; set STEPWELL_DIR") from error
        self.limit = self._size
        self.map[TEXT_AT : TEXT_AT + len(text)] = text
        self.acknowledge(START)
        HEADER.pack_into(self.map, 0, MAGIC, VERSION, len(text), zlib.crc32(text))

    def _enlarge(self, size: int) -> mmap.mmap:
        os.posix_fallocate(self._file, self._size, size - self._size)
        self._size = size
        return mmap.mmap(self._file, size)

    def append(self, body: bytes) -> bool:
        """Append a numbered record; False when it was dropped. The caller holds the lock."""
        start = self.end
        size = len(body) + 8
        if start + size + 8 > self.limit and not self.make_room(size):
            return False
        start = self.end
        # Reserved first: a signal handler that logs between these lines gets a place of its own.
        self.end = start + size
        self.sequence += 1
        self.map[start + 8 : start + size] = body
        _pack_head(self.map, start, size, _crc32(body, size))
        return True

    def append_json(self, tag: int, value: Any) -> bool:
        """Append a row or an event as JSON; False when it was dropped."""
        body = TAG.pack(tag) + json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogatepass")
        with self.lock:
            return self.append(body)

    def define(self, keys: tuple[str, ...], codes: str) -> Layout | None:
        """Append a layout's definition and return the layout; None when there was no room for it."""
        with self.lock:
            layout = Layout(FIRST_LAYOUT_TAG + self._layouts, keys, codes)
            text = json.dumps({"tag": layout.tag, "keys": keys, "codes": codes}).encode("utf-8", "surrogatepass")
            if not self.append(TAG.pack(TAG_LAYOUT) + text):
                self.dropped -= 1  # it was no record; the row that needed it is counted when it finds no room either
                return None
            self.sequence -= 1
            self._layouts += 1
            return layout

    def make_room(self, size: int) -> bool:
        """See to room for a record; False when it is to be dropped. The caller holds the lock."""
        if self.limit == 0:
            self.dropped += 1
            return False
        if self.end + size - self.acknowledged.offset > self._max_bytes and not self._wait_for_room(size):
            self.dropped += 1
            return False
        if self.end + size + 8 > self._size:
            grown = max(min(2 * self._size, self._size + _GROW_BYTES), self.end + size + _FIRST_BYTES)
            try:
                # A new mapping and not a resize: readers may still hold views of the old one.
                self.map = self._enlarge(grown)
            except OSError:
                self.dropped += 1
                return False
        self._set_limit()
        return True

    def _wait_for_room(self, size: int) -> bool:
        """Wait while a living sender may still make room; without one, waiting would never end."""
        while self._when_full == "block" and self.sender_alive and self.limit:
            time.sleep(_BLOCK_POLL_SECONDS)
            if self.end + size - self.acknowledged.offset <= self._max_bytes:
                return True
        return False

    def _set_limit(self) -> None:
        self.limit = min(self._size, self.acknowledged.offset + self._max_bytes)

    def acknowledge(self, position: Position) -> None:
        """Remember that everything before `position` was delivered. Called by one sender, without the lock."""
        self.acknowledged = position
        write_acknowledged(self.map, position)

    def close(self) -> None:
        """Take no more records. What is mapped stays readable until the last view of it is gone."""
        with self.lock:
            if self.limit:
                self.limit = 0
                os.close(self._file)

    def abandon_in_child(self) -> None:
        """In a forked child: never write here again, and don't wait for a lock that nobody here will release."""
        self.lock = threading.RLock()
        self.limit = 0


def write_acknowledged(mapping: mmap.mmap, position: Position) -> None:
    """Write the acknowledged position into a journal's header."""
    packed = struct.pack("<QQ", *position)
    ACKNOWLEDGED.pack_into(mapping, ACKNOWLEDGED_AT, *position, zlib.crc32(packed))


def read_header(data: mmap.mmap | bytes, name: str = "the file") -> tuple[JournalInfo, Position]:
    """Return whose journal it is and the acknowledged position (the start, where that is torn).

    Raises:
        NotAJournalError: when the header is not one of ours.
    """
    if len(data) < HEADER_BYTES:
        raise NotAJournalError(f"{name} is no journal: {len(data)} bytes are less than a header")
    magic, version, length, crc = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise NotAJournalError(f"{name} is no journal of version {VERSION}")
    text = bytes(data[TEXT_AT : TEXT_AT + length])
    if zlib.crc32(text) != crc or TEXT_AT + length > HEADER_BYTES:
        raise NotAJournalError(f"{name}: the journal's header is damaged")
    offset, sequence, position_crc = ACKNOWLEDGED.unpack_from(data, ACKNOWLEDGED_AT)
    valid = zlib.crc32(struct.pack("<QQ", offset, sequence)) == position_crc and HEADER_BYTES <= offset <= len(data)
    return JournalInfo(**json.loads(text)), Position(offset, sequence) if valid else START
