"""Reader of journals: returns blocks of rows of one layout, up to the first incomplete or damaged record.

A `Reader` only moves forward. It keeps the layouts that it has read, so a reader that starts at an acknowledged
position first scans the records before it for definitions.

Nothing is read after a damaged record, even if later records are intact: the number of damaged rows is unknown, so
later rows without a step of their own would get wrong steps. A value at a wrong step is worse than one that is
reported as missing and still in the file.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell.journal.format import (
    MEDIA_HEAD,
    RECORD_HEAD,
    START,
    TAG,
    TAG_EVENT,
    TAG_LAYOUT,
    TAG_MEDIA,
    TAG_ROW,
    Position,
)
from stepwell.journal.row_layout import Layout
from stepwell_schemas.rules.steps import StepState, resolve

_NUMPY_CODES: Final = {"d": "<f8", "q": "<i8", "?": "?"}
_HEAD_BYTES: Final = RECORD_HEAD.size + TAG.size
_WINDOW_BYTES: Final = 4 * 1024 * 1024


class Rows(NamedTuple):
    """A block of packed rows: a structured array with `timestamp`, `asked`, `commit` and a `v<n>` per code run."""

    layout: Layout
    array: NDArray[Any]
    end: int


class JsonRow(NamedTuple):
    """One row without a layout: `{"t": µs, "s": asked step, "c": commit code, "d": {key: [kind, value]}}`."""

    row: dict[str, Any]
    size: int
    end: int


class MetaEvent(NamedTuple):
    """An event other than a row: its `event` name, and its fields."""

    fields: dict[str, Any]
    end: int


class MediaRecord(NamedTuple):
    """A chunk of a media file: `head` has `sha256`, `index`, `count`, `size`, `content_type` and `timestamp`."""

    head: dict[str, Any]
    data: bytes
    end: int


JournalItem = Rows | JsonRow | MetaEvent | MediaRecord


class Damage(NamedTuple):
    """The offset from which a journal can't be read, and the number of bytes from there to its end."""

    offset: int
    bytes: int

    def __str__(self) -> str:
        return (
            f"damaged at byte {self.offset:,}: everything before it is readable, the {self.bytes:,} bytes from there "
            "on are not"
        )


def requested_steps(item: JournalItem) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Return the requested steps and commit codes of an item's rows, as `steps.resolve` takes them."""
    if isinstance(item, Rows):
        return item.array["asked"].astype(np.int64), item.array["commit"].astype(np.int8)
    rows = [item.row] if isinstance(item, JsonRow) else []
    return np.array([row["s"] for row in rows], np.int64), np.array([row["c"] for row in rows], np.int8)


class Reader:
    """Reads records in order.

    Attributes:
        position: that of the next record.
        steps: the writer's state at the position that `skip_to` reached; None if it is unknown.
    """

    def __init__(self, *, check: bool, first_step: int = 0) -> None:
        """Begin at the start of a journal. `check`: verify every CRC. `first_step`: first step of its session."""
        self._check = check
        self._layouts: dict[int, tuple[Layout, np.dtype[Any]]] = {}
        self.position = START
        self.steps: StepState | None = StepState(first_step)

    def skip_to(self, data: mmap.mmap | bytes, position: Position) -> None:
        """Move forward to `position`, a position between two records; read the layouts and steps on the way.

        Damage on the way is skipped: those records were delivered, and the number of the next one is known. The
        current step is not.
        """
        while self.position.offset < position.offset:
            before = self.position
            for item in self.read(data, position.offset, position.offset):
                self._count(item)
            if self.position == before:
                self.steps = None
                break
        self.position = position

    def _count(self, item: JournalItem) -> None:
        if self.steps is None:
            return
        # Rows of another release that can't be sent count for nothing, as in `encode_events`.
        with contextlib.suppress(ValueError, TypeError, LookupError, ArithmeticError):
            asked, commits = requested_steps(item)
            self.steps = resolve(self.steps, asked, commits, len(asked)).state

    def damage(self, data: mmap.mmap | bytes) -> Damage | None:
        """Return the damage that ended reading at `position`; None at the journal's proper end.

        A record that was reserved but not filled when the process died is no damage: its `log()` had not returned. It
        has no length, and no intact record after it.
        """
        offset = self.position.offset
        used = used_bytes(data)
        if used <= offset:
            return None
        head = bytes(data[offset : offset + RECORD_HEAD.size])
        if any(head) or self._has_record(data, offset + RECORD_HEAD.size, used):
            return Damage(offset, used - offset)
        return None

    def _has_record(self, data: mmap.mmap | bytes, first: int, used: int) -> bool:
        """Return whether an intact record begins anywhere in [first, used)."""
        tags = [TAG_LAYOUT, TAG_ROW, TAG_EVENT, TAG_MEDIA, *self._layouts]
        for start in range(first, max(first, used - _HEAD_BYTES), _WINDOW_BYTES):
            window = np.frombuffer(data, "u1", min(_WINDOW_BYTES + _HEAD_BYTES, used - start), start)
            for shift in range(4):
                words = window[shift : shift + (len(window) - shift) // 4 * 4].view("<u4")
                sizes, tag_words = words[:-2], words[2:]
                likely = (sizes >= _HEAD_BYTES) & (sizes <= used - start) & np.isin(tag_words, tags)
                for word in np.flatnonzero(likely).tolist():
                    at, size = start + shift + 4 * word, int(sizes[word])
                    if at + size <= used and _is_whole(data, at, size):
                        return True
        return False

    def read(self, data: mmap.mmap | bytes, end: int, max_bytes: int) -> Iterator[JournalItem]:
        """Yield the items before `end`, about `max_bytes` of them; ends permanently at a torn record."""
        stop = min(end, self.position.offset + max_bytes)
        while self.position.offset < stop:
            head = self._head(data, end)
            if head is None:
                return
            size, tag = head
            offset, sequence = self.position
            after = offset + size
            if tag > TAG_MEDIA:
                known = self._layouts.get(tag)
                if known is None or known[0].record_bytes != size:
                    return
                rows = self._rows(data, stop, *known)
                self.position = Position(offset + rows.array.nbytes, sequence + len(rows.array))
                yield rows
                continue
            try:
                text, content = _text_and_content(bytes(data[offset + _HEAD_BYTES : after]), tag)
                value = json.loads(text.decode("utf-8", "surrogatepass"))
            except (ValueError, struct.error):
                return
            self.position = Position(after, sequence + (tag != TAG_LAYOUT))
            if tag == TAG_LAYOUT:
                layout = Layout(value["tag"], tuple(value["keys"]), value["codes"])
                self._layouts[layout.tag] = layout, row_dtype(layout)
            elif tag == TAG_ROW:
                yield JsonRow(value, size, after)
            elif tag == TAG_EVENT:
                yield MetaEvent(value, after)
            elif tag == TAG_MEDIA:
                yield MediaRecord(value, content, after)

    def _head(self, data: mmap.mmap | bytes, end: int) -> tuple[int, int] | None:
        offset = self.position.offset
        if offset + _HEAD_BYTES > end:
            return None
        size, _ = RECORD_HEAD.unpack_from(data, offset)
        if size < _HEAD_BYTES or offset + size > end:
            return None
        if self._check and not _is_whole(data, offset, size):
            return None
        (tag,) = TAG.unpack_from(data, offset + RECORD_HEAD.size)
        return size, tag

    def _rows(self, data: mmap.mmap | bytes, stop: int, layout: Layout, dtype: np.dtype[Any]) -> Rows:
        """Return the block of rows of one layout that begins here; its first row is known to be intact."""
        offset = self.position.offset
        size = layout.record_bytes
        candidates = max(1, min(stop - offset, _WINDOW_BYTES) // size)
        array = np.frombuffer(data, dtype, candidates, offset)
        others = (array["size"] != size) | (array["tag"] != layout.tag)
        count = int(np.argmax(others)) if others.any() else candidates
        if self._check:
            view = memoryview(data)
            crcs = array["crc"]
            for row in range(1, count):
                at = offset + row * size
                if zlib.crc32(view[at + RECORD_HEAD.size : at + size], size) != crcs[row]:
                    count = row
                    break
        return Rows(layout, array[:count], offset + count * size)


def _text_and_content(body: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return a record's JSON, and the bytes after it. Raises: struct.error if the body is too short."""
    if tag != TAG_MEDIA:
        return body, b""
    (length,) = MEDIA_HEAD.unpack_from(body)
    start = MEDIA_HEAD.size + length
    return body[MEDIA_HEAD.size : start], body[start:]


def used_bytes(data: mmap.mmap | bytes) -> int:
    """Return the offset where the file's content ends; space after it was allocated and never written."""
    end = len(data)
    while end > 0:
        start = max(0, end - _WINDOW_BYTES)
        content = bytes(data[start:end]).rstrip(b"\0")
        if content:
            return start + len(content)
        end = start
    return 0


def _is_whole(data: mmap.mmap | bytes, offset: int, size: int) -> bool:
    size_there, crc = RECORD_HEAD.unpack_from(data, offset)
    body = memoryview(data)[offset + RECORD_HEAD.size : offset + size]
    return bool(size_there == size and zlib.crc32(body, size) == crc)


def row_dtype(layout: Layout) -> np.dtype[Any]:
    """Return the numpy type of a layout's records, heads included; one field for each run of equal codes."""
    fields: list[Any] = [
        ("size", "<u4"),
        ("crc", "<u4"),
        ("tag", "<u4"),
        ("timestamp", "<i8"),
        ("asked", "<i8"),
        ("commit", "u1"),
    ]
    for number, (code, first, end) in enumerate(layout.code_runs()):
        fields.append((f"v{number}", _NUMPY_CODES[code], (end - first,)))
    return np.dtype(fields)
