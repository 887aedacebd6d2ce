"""A journal as it lies on disk: of an ended session, or of one that another process still writes. Both versions."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from stepwell.errors import JournalError, NotAJournalError
from stepwell.journal.folders import lock_file
from stepwell.journal.format import (
    ACKNOWLEDGED_AT,
    HEADER_BYTES,
    SEGMENT_SUFFIX,
    START,
    Header,
    Heartbeat,
    JournalInfo,
    Position,
    SegmentInfo,
    pack_acknowledged,
    read_header,
)
from stepwell.journal.segments import FileSegment, first_position
from stepwell_schemas.limits import MIB

_TAIL_BYTES: Final = 4 * MIB


class StoredJournal:
    """A journal opened for reading, and for storing the acknowledged position if its head can be written.

    Attributes:
        info: the journal's identity.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal. Raises: JournalError."""
        self.path = path
        self._segments: dict[str, FileSegment] = {}
        self._head, self._writable = -1, False
        try:
            self._single_file = not path.is_dir()
            try:
                self._head, self._writable = _open(lock_file(path))
            except FileNotFoundError:
                if self._single_file:
                    raise
            self.info = self._read_info()
        except (OSError, ValueError) as error:
            self.close()
            raise JournalError(f"can't read {path}: {error}") from error
        except JournalError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for segment in self._segments.values():
            segment.close()
        head, self._head = self._head, -1
        if head >= 0 and not (self._single_file and self._segments):
            os.close(head)
        self._segments = {}

    def _read_info(self) -> JournalInfo:
        """Return the identity; segments repeat it, in case the head is damaged or missing. Raises: JournalError."""
        try:
            return self._read_head().info
        except NotAJournalError:
            for path in [] if self._single_file else self._segment_paths():
                with contextlib.suppress(OSError, NotAJournalError):
                    return read_header(_read_start(path), str(path)).info
            raise

    def _read_head(self) -> Header:
        data = os.pread(self._head, HEADER_BYTES, 0) if self._head >= 0 else b""
        return read_header(data, str(self.path))

    def _segment_paths(self) -> list[Path]:
        return sorted(self.path.glob(f"*{SEGMENT_SUFFIX}"))

    @property
    def acknowledged(self) -> Position:
        """The acknowledged position; the start of the journal if it is damaged."""
        try:
            return self._read_head().acknowledged
        except NotAJournalError:
            return START

    @property
    def heartbeat(self) -> Heartbeat:
        """The heartbeat; one without beats if it is damaged."""
        try:
            return self._read_head().heartbeat
        except NotAJournalError:
            return Heartbeat()

    def segments(self) -> Sequence[FileSegment]:
        """Return the segments that exist now, in order. One whose header is damaged is left out. Raises: OSError.

        Open segments of a journal that was removed meanwhile remain.
        """
        if self._single_file:
            if not self._segments:
                self._segments[""] = FileSegment(self.path, self._head, SegmentInfo(), single_file=True)
            return list(self._segments.values())
        for path in self._segment_paths():
            if path.name not in self._segments:
                with contextlib.suppress(FileNotFoundError, NotAJournalError):
                    start = read_header(_read_start(path), str(path)).segment
                    self._segments[path.name] = FileSegment(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC), start)
        return [self._segments[name] for name in sorted(self._segments)]

    def known_records(self) -> int:
        """Return a number of records that the journal is known to have had; 0 if none is known."""
        return self.heartbeat.records

    def end(self) -> int:
        """Return the offset of the end of the last segment. Raises: OSError."""
        segments = self.segments()
        return _end(segments[-1]) if segments else 0

    def left_bytes(self, position: Position) -> int:
        """Return the number of bytes of records from a position on. Raises: OSError."""
        starts = ((segment, max(position.offset, first_position(segment).offset)) for segment in self.segments())
        return sum(max(0, _end(segment) - start) for segment, start in starts)

    def acknowledge(self, position: Position) -> None:
        """Store the acknowledged position, unless it can't be written or another process has advanced further."""
        if self._writable and self.acknowledged.offset < position.offset:
            with contextlib.suppress(OSError):  # a full disk that copies on write; sent again, records count once
                os.pwrite(self._head, pack_acknowledged(position), ACKNOWLEDGED_AT)


def read_journal_header(path: Path) -> Header:
    """Return the header of a journal. Raises: OSError, JournalError."""
    if not path.is_dir():
        return read_header(_read_start(path), str(path))
    with StoredJournal(path) as journal:
        return Header(sys.maxsize, journal.info, SegmentInfo(), journal.acknowledged, journal.heartbeat)


def _end(segment: FileSegment) -> int:
    """Return the offset of a segment's end; in a single file, the space after it was allocated and never written."""
    size = segment.size()
    while segment.single_file and size > HEADER_BYTES:
        start = max(HEADER_BYTES, size - _TAIL_BYTES)
        used = len(segment.read(start, size - start).rstrip(b"\0"))
        size = start + used
        if used:
            break
    return segment.info.base + size


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEADER_BYTES)


def _open(path: Path) -> tuple[int, bool]:
    """Return the file, and whether it is writable. Raises: OSError."""
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC), True
    except FileNotFoundError:
        raise
    except OSError:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC), False
