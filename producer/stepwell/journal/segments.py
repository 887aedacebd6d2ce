"""Segments: the parts of a journal, as files or in memory, and the series of them that a reader sees.

Records are written with `pwrite`, never through a mapping: on a full disk, or if the file was truncated, a call fails,
where a store into a mapping would raise SIGBUS. A file grows after its bytes are in it, so a reader that stops at the
end of the file never sees a record without its content.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from stepwell.journal.format import (
    HEADER_BYTES,
    SEGMENT_SUFFIX,
    JournalInfo,
    Position,
    SegmentInfo,
    build_header,
)
from stepwell.journal.permissions import create_file

PWrite = Callable[[bytes, int], int]
"""Writes bytes at a byte of a segment, and returns the number of those written. Raises: OSError."""


class Segment(Protocol):
    """A part of a journal."""

    name: str
    info: SegmentInfo
    single_file: bool
    """True for a journal of version 2, with unused space at its end."""

    def size(self) -> int:
        """Return its bytes, header included. Raises: OSError."""

    def read(self, at: int, size: int) -> bytes:
        """Return at most `size` bytes from the byte `at` of the segment on. Raises: OSError."""


class WritableSegment(Segment, Protocol):
    """The segment that a journal appends to."""

    pwrite: PWrite

    def truncate(self, size: int) -> None:
        """Cut off what is behind `size` bytes. Raises: OSError."""

    def remove(self) -> None:
        """Delete it, and give its space back. Raises: OSError."""

    def close(self) -> None:
        """Close its file."""


def segment_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"{number:06d}{SEGMENT_SUFFIX}"


class FileSegment:
    """A segment in a file."""

    def __init__(self, path: Path, file: int, info: SegmentInfo, *, single_file: bool = False) -> None:
        self.path = path
        self.name = path.name
        self.info = info
        self.single_file = single_file
        self._file = file
        # For the hot path of `log()`: a method of this class would cost 0.1 µs more per call.
        self.pwrite: PWrite = partial(os.pwrite, file)

    @classmethod
    def create(cls, folder: Path, info: JournalInfo, segment: SegmentInfo) -> FileSegment:
        """Create the file with its header. Raises: OSError, and leaves no file then; JournalError."""
        header = build_header(info, segment)
        path = folder / segment_name(segment.number)
        file = create_file(path)
        try:
            write_all(file, header, 0)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        return cls(path, file, segment)

    def size(self) -> int:
        """Return its bytes, header included. Raises: OSError."""
        return os.fstat(self._file).st_size

    def read(self, at: int, size: int) -> bytes:
        """Return at most `size` bytes from the byte `at` of the segment on. Raises: OSError."""
        return os.pread(self._file, max(0, size), at)

    def truncate(self, size: int) -> None:
        """Cut off what is behind `size` bytes. Raises: OSError."""
        os.ftruncate(self._file, size)

    def remove(self) -> None:
        """Delete the file; its space returns when it is closed. Raises: OSError."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, -1  # first, so that no other thread reads a number that is in use again
        if file >= 0:
            os.close(file)


class MemorySegment:
    """A segment in memory, of a journal that no folder can take."""

    single_file = False

    def __init__(self, info: JournalInfo, segment: SegmentInfo) -> None:
        self.name = f"memory {segment.number}"
        self.info = segment
        self._bytes = bytearray(build_header(info, segment))
        self.pwrite: PWrite = self._write

    def _write(self, data: bytes, at: int) -> int:
        """Write bytes at the byte `at`, and return their number. Raises: OSError if there is no memory for them."""
        try:
            self._bytes[at : at + len(data)] = data
        except MemoryError as error:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
        return len(data)

    def size(self) -> int:
        """Return its bytes, header included."""
        return len(self._bytes)

    def read(self, at: int, size: int) -> bytes:
        """Return at most `size` bytes from the byte `at` of the segment on."""
        return bytes(self._bytes[at : at + size])

    def truncate(self, size: int) -> None:
        """Cut off what is behind `size` bytes."""
        del self._bytes[size:]

    def remove(self) -> None:
        """Free its memory."""
        self._bytes = bytearray()

    def close(self) -> None:
        """Do nothing: the records stay readable."""


def write_all(file: int, data: bytes, at: int) -> None:
    """Write all of `data` at a position of a file. Raises: OSError, also if only a part finds room."""
    written = os.pwrite(file, data, at)
    while written < len(data):
        # The next call reports the reason for a short write.
        written += os.pwrite(file, data[written:], at + written)


class Place(Protocol):
    """The segments of a journal, as a reader sees them."""

    def segments(self) -> Sequence[Segment]:
        """Return the segments that exist now, in order."""

    def known_records(self) -> int:
        """Return a number of records that the journal is known to have had; 0 if none is known."""


def find_segment(segments: Sequence[Segment], offset: int) -> tuple[Segment | None, Segment | None]:
    """Return the segment that holds an offset, and the one after it; None where there is none."""
    current: Segment | None = None
    for segment in segments:
        if segment.info.base > offset:
            return current, segment
        current = segment
    return current, None


def first_position(segment: Segment) -> Position:
    """Return the position of a segment's first record."""
    return Position(segment.info.base + HEADER_BYTES, segment.info.sequence)
