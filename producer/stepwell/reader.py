"""Reading a journal: stretches of rows of one layout at once, up to the first thing that is not a whole record.

A `Reader` only moves forward. It keeps the layouts it has met, so one that begins at an acknowledged position first
walks over what lies before it to learn the definitions.
"""

from __future__ import annotations

import json
import mmap
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell.journal import (
    FIRST_LAYOUT_TAG,
    RECORD_HEAD,
    START,
    TAG,
    TAG_EVENT,
    TAG_LAYOUT,
    TAG_ROW,
    Position,
)
from stepwell.layout import Layout

_NUMPY_CODES: Final = {"d": "<f8", "q": "<i8", "?": "?"}
_HEAD_BYTES: Final = RECORD_HEAD.size + TAG.size
_WINDOW_BYTES: Final = 4 * 1024 * 1024


class Rows(NamedTuple):
    """A stretch of packed rows: a structured array with `timestamp`, `asked`, `commit` and `v0`, `v1`, … code runs."""

    layout: Layout
    array: NDArray[Any]
    end: int


class JsonRow(NamedTuple):
    """One row that fits no layout: `{"t": µs, "s": asked step, "c": commit code, "d": {key: [kind, value]}}`."""

    row: dict[str, Any]
    size: int
    end: int


class MetaEvent(NamedTuple):
    """An event other than a row: its `event` name, and its fields."""

    fields: dict[str, Any]
    end: int


Item = Rows | JsonRow | MetaEvent


class Reader:
    """Reads records in order; `position` is the next one's. With `check`, every CRC is verified."""

    def __init__(self, *, check: bool) -> None:
        self._check = check
        self._layouts: dict[int, tuple[Layout, np.dtype[Any]]] = {}
        self.position = START

    def skip_to(self, data: mmap.mmap | bytes, position: Position) -> None:
        """Go forward to `position`, learning the layouts on the way; stays at the last record before it."""
        while self.position.sequence < position.sequence:
            before = self.position
            for _ in self.read(data, position.offset, position.offset):
                pass
            if self.position == before:
                break

    def read(self, data: mmap.mmap | bytes, end: int, max_bytes: int) -> Iterator[Item]:
        """Yield what lies before `end`, until about `max_bytes` of it were read; stops for good at a torn record."""
        stop = min(end, self.position.offset + max_bytes)
        while self.position.offset < stop:
            head = self._head(data, end)
            if head is None:
                return
            size, tag = head
            offset, sequence = self.position
            after = offset + size
            if tag >= FIRST_LAYOUT_TAG:
                known = self._layouts.get(tag)
                if known is None or known[0].record_bytes != size:
                    return
                rows = self._rows(data, stop, *known)
                self.position = Position(offset + rows.array.nbytes, sequence + len(rows.array))
                yield rows
                continue
            try:
                value = json.loads(bytes(data[offset + _HEAD_BYTES : after]).decode("utf-8", "surrogatepass"))
            except ValueError:
                return
            self.position = Position(after, sequence + (tag != TAG_LAYOUT))
            if tag == TAG_LAYOUT:
                layout = Layout(value["tag"], tuple(value["keys"]), value["codes"])
                self._layouts[layout.tag] = layout, row_dtype(layout)
            elif tag == TAG_ROW:
                yield JsonRow(value, size, after)
            elif tag == TAG_EVENT:
                yield MetaEvent(value, after)

    def _head(self, data: mmap.mmap | bytes, end: int) -> tuple[int, int] | None:
        offset = self.position.offset
        if offset + _HEAD_BYTES > end:
            return None
        size, crc = RECORD_HEAD.unpack_from(data, offset)
        if size < _HEAD_BYTES or offset + size > end:
            return None
        if self._check and zlib.crc32(memoryview(data)[offset + RECORD_HEAD.size : offset + size], size) != crc:
            return None
        (tag,) = TAG.unpack_from(data, offset + RECORD_HEAD.size)
        return size, tag

    def _rows(self, data: mmap.mmap | bytes, stop: int, layout: Layout, dtype: np.dtype[Any]) -> Rows:
        """Take the stretch of rows of one layout that begins here; its first row is known to be whole."""
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
