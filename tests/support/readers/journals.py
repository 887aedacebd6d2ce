"""Journals as tests read them: their items, and single segments as bytes."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from stepwell.delivery.batching import EncodedEvent, encode_events, split_into_events
from stepwell.journal.format import (
    ACKNOWLEDGED,
    ACKNOWLEDGED_AT,
    HALVES,
    HEADER,
    HEADER_BYTES,
    MAGIC,
    SEGMENT_SUFFIX,
    SINGLE_FILE_VERSION,
    TEXT_AT,
    JournalInfo,
    Position,
    pack_acknowledged,
    read_header,
)
from stepwell.journal.items import JournalItem, JsonRow, Rows
from stepwell.journal.reader import Reader
from stepwell.journal.segments import Place, Segment
from stepwell.journal.stored import StoredJournal

SINGLE_FILE_FIELDS = ("entity", "project", "run_id", "session", "writer", "started", "first_step", "keep")


class BytesSegment:
    """A segment that a test holds as bytes."""

    def __init__(self, data: bytes, name: str = "bytes") -> None:
        header = read_header(data)
        self.name = name
        self.info = header.segment
        self.single_file = header.version == 2
        self._data = data

    def size(self) -> int:
        """Return the number of bytes."""
        return len(self._data)

    def read(self, at: int, size: int) -> bytes:
        """Return bytes of the segment."""
        return self._data[at : at + size]


class BytesPlace:
    """A journal whose segments a test holds as bytes."""

    def __init__(self, *segments: bytes, records: int = 0) -> None:
        self._segments = [BytesSegment(data, f"bytes {number}") for number, data in enumerate(segments)]
        self._records = records

    def segments(self) -> Sequence[Segment]:
        """Return the segments."""
        return self._segments

    def known_records(self) -> int:
        """Return the number of records that the journal is known to have had."""
        return self._records


def segment_files(journal: Path) -> list[Path]:
    """Return the files of a journal's segments."""
    return sorted(journal.glob(f"*{SEGMENT_SUFFIX}"))


def journal_bytes(journal: Path) -> bytes:
    """Return the content of all segments of a journal."""
    return b"".join(path.read_bytes() for path in segment_files(journal))


def read_items(place: Place) -> list[JournalItem]:
    """Return the items that a checking reader returns."""
    return list(Reader(check=True).read(place, sys.maxsize, sys.maxsize // 2))


def read_journal(path: Path | str) -> tuple[JournalInfo, list[JournalItem]]:
    """Return the identity and the items of a journal on disk."""
    with StoredJournal(Path(path)) as journal:
        return journal.info, list(Reader(check=True).read_all(journal))


def encode_journal(path: Path | str) -> list[EncodedEvent]:
    """Return the events of a journal on disk, as they are sent."""
    info, items = read_journal(path)
    return list(encode_events(split_into_events(items), info, 0))


def count_rows(items: Iterable[JournalItem]) -> int:
    """Return the number of rows among items."""
    return sum(len(item.array) if isinstance(item, Rows) else isinstance(item, JsonRow) for item in items)


def flip(path: Path, at: int) -> None:
    """Damage one byte of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0xFF]))


def write_single_file(journal: Path, path: Path) -> None:
    """Write a journal's records as a journal of version 2: one file, with space at its end that was never used."""
    with StoredJournal(journal) as stored:
        fields = {key: value for key, value in stored.info._asdict().items() if key in SINGLE_FILE_FIELDS}
        text = json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")
        header = bytearray(HEADER_BYTES)
        for half in HALVES:
            HEADER.pack_into(header, half, MAGIC, SINGLE_FILE_VERSION, len(text), zlib.crc32(text))
            header[half + TEXT_AT : half + TEXT_AT + len(text)] = text
        start = Position(HEADER_BYTES, 0)
        header[ACKNOWLEDGED_AT : ACKNOWLEDGED_AT + ACKNOWLEDGED.size] = pack_acknowledged(start)
        (segment,) = stored.segments()
        path.write_bytes(bytes(header) + segment.read(HEADER_BYTES, segment.size()) + bytes(4096))
