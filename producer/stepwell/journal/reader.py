"""Reader of journals: returns blocks of rows of one layout, segment by segment.

A `Reader` only moves forward. Each segment defines the layouts of its rows, so a reader that starts within a segment
first scans the records before it for definitions.

Nothing is read after a damaged record up to the end of its segment, even if later records are intact: their numbers
are unknown. The next segment says the number of its first record and the step at which it begins, so reading continues
there, and the records in between are missing. `read` ends at such a gap, since the items of one call have consecutive
numbers.
"""

from __future__ import annotations

import contextlib
import json
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell.journal.damage import HEAD_BYTES, WINDOW_BYTES, Damage, find_tail_damage, is_whole
from stepwell.journal.format import (
    HEADER_BYTES,
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
from stepwell.journal.items import JournalItem, JsonRow, MediaRecord, MetaEvent, Rows, requested_steps, row_dtype
from stepwell.journal.row_layout import Layout
from stepwell.journal.segments import Place, Segment, find_segment, first_position
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.steps import StepState, resolve

_TAIL_BYTES: Final = 64 * MIB


class Reader:
    """Reads records in order.

    Attributes:
        position: that of the next record.
        steps: the writer's state where skipping ended, or after the last gap; None if it is unknown.
        gaps: the damage that was skipped, since a later segment could be read.
    """

    def __init__(self, *, check: bool, first_step: int = 0) -> None:
        """Begin at the start of a journal. `check`: verify every CRC. `first_step`: first step of its session."""
        self._check = check
        self._layouts: dict[int, tuple[Layout, np.dtype[Any]]] = {}
        self._segment: int | None = None
        self.position = START
        self.steps: StepState | None = StepState(first_step)
        self.gaps: list[Damage] = []

    def skip_to(self, place: Place, position: Position) -> None:
        """Move forward to `position`, a position between two records; read its segment's layouts and steps on the way.

        Damage on the way is skipped: those records were delivered, and the number of the next one is known. The
        current step is not.
        """
        segment, _ = find_segment(place.segments(), position.offset)
        self._begin_at(segment)
        while self.position.offset < position.offset:
            before, gaps = self.position, len(self.gaps)
            for item in self.read(place, position.offset, position.offset):
                self._count(item)
            if self.position == before or len(self.gaps) > gaps:
                del self.gaps[gaps:]
                self.steps = None
                break
        self.position = position

    def skip_to_end(self, place: Place) -> None:
        """Move forward to the end of the last segment, and read nothing else; `steps` is the writer's state there."""
        segments = place.segments()
        self._begin_at(segments[-1] if segments else None)
        for item in self.read_all(place):
            self._count(item)

    def _begin_at(self, segment: Segment | None) -> None:
        """Move forward to the start of a segment, if it lies ahead."""
        if segment is not None and segment.info.base > self.position.offset:
            self.position, self.steps = first_position(segment), _steps_at(segment)

    def _count(self, item: JournalItem) -> None:
        if self.steps is None:
            return
        # Rows of another release that can't be sent count for nothing, as in `encode_events`.
        with contextlib.suppress(ValueError, TypeError, LookupError, ArithmeticError):
            asked, commits = requested_steps(item)
            self.steps = resolve(self.steps, asked, commits, len(asked)).state

    def damage(self, place: Place) -> Damage | None:
        """Return the damage met so far, and at the position where reading ended; None if there is none."""
        found = list(self.gaps)
        segment, following = find_segment(place.segments(), self.position.offset)
        missing = place.known_records() - self.position.sequence
        lost = 0
        if segment is not None and following is None:
            start = max(HEADER_BYTES, self.position.offset - segment.info.base)
            rest = segment.size() - start
            tail = segment.read(start, min(rest, _TAIL_BYTES))
            lost = find_tail_damage(tail, self._layouts.keys(), single_file=segment.single_file)
            lost = rest if lost and rest > _TAIL_BYTES else lost
        if lost or missing > 0:
            name = _shown(segment) if segment is not None else ""
            found.append(Damage(name, self.position.offset, lost, missing if missing > 0 else -1))
        return _sum_up(found)

    def read(self, place: Place, end: int, max_bytes: int) -> Iterator[JournalItem]:
        """Yield the items before `end`, about `max_bytes` of them; stops at a gap, and at an incomplete record."""
        stop = min(end, self.position.offset + max_bytes)
        least = 0
        while self.position.offset < stop:
            # Before the bytes are read: a segment is complete once there is a next one.
            segments = place.segments()
            segment, following = find_segment(segments, self.position.offset)
            if segment is not None:
                self._enter(segment)
                before, window = self.position, self._window(segment, stop, least)
                yield from self._read_window(window, stop)
                if self.position != before:
                    least = 0
                    continue
                wanted = self._record_bytes(window)
                if wanted > max(least, len(window)) and self._has_bytes(segment, wanted):
                    least = wanted  # a record longer than the window
                    continue
            if following is not None:
                self._note_gap(segment, following)
            return

    def read_all(self, place: Place, max_bytes: int = WINDOW_BYTES) -> Iterator[JournalItem]:
        """Yield all items that can be read, across gaps."""
        while True:
            before = self.position
            yield from self.read(place, sys.maxsize, max_bytes)
            if self.position == before:
                return

    def _enter(self, segment: Segment) -> None:
        """Start with a segment's own layouts, after its header."""
        if self._segment != segment.info.number:
            self._segment = segment.info.number
            self._layouts.clear()
        if self.position.offset < segment.info.base + HEADER_BYTES:
            self.position = first_position(segment)

    def _note_gap(self, segment: Segment | None, following: Segment) -> None:
        """Continue with the next segment; what can't be read up to there is a gap."""
        offset, sequence = self.position
        self.position = first_position(following)
        records = following.info.sequence - sequence
        if records == 0:
            return  # definitions only
        name = segment.name if segment is not None else f"before {following.name}"
        self.gaps.append(Damage(name, offset, following.info.base - offset, records, ends=False))
        # A row without a step of its own continues from the rows before it, which are lost.
        self.steps = _steps_at(following)

    def _window(self, segment: Segment, stop: int, least: int) -> bytes:
        at = self.position.offset - segment.info.base
        return segment.read(at, max(least, HEAD_BYTES, min(stop - self.position.offset, WINDOW_BYTES)))

    @staticmethod
    def _record_bytes(window: bytes) -> int:
        return int(RECORD_HEAD.unpack_from(window)[0]) if len(window) >= RECORD_HEAD.size else 0

    def _has_bytes(self, segment: Segment, size: int) -> bool:
        return self.position.offset - segment.info.base + size <= segment.size()

    def _read_window(self, window: bytes, stop: int) -> Iterator[JournalItem]:
        """Yield the items of a window, which begins at the position."""
        origin = self.position.offset
        while self.position.offset < stop:
            at = self.position.offset - origin
            head = self._head(window, at)
            if head is None:
                return
            size, tag = head
            after, sequence = self.position.offset + size, self.position.sequence
            if tag > TAG_MEDIA:
                known = self._layouts.get(tag)
                if known is None or known[0].record_bytes != size:
                    return
                layout, array = known[0], self._rows(window, at, stop - origin, *known)
                self.position = Position(self.position.offset + array.nbytes, sequence + len(array))
                yield Rows(layout, array, self.position.offset)
                continue
            try:
                text, content = _text_and_content(window[at + HEAD_BYTES : at + size], tag)
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

    def _head(self, window: bytes, at: int) -> tuple[int, int] | None:
        if at + HEAD_BYTES > len(window):
            return None
        size, _ = RECORD_HEAD.unpack_from(window, at)
        if size < HEAD_BYTES or at + size > len(window):
            return None
        if self._check and not is_whole(window, at, size):
            return None
        (tag,) = TAG.unpack_from(window, at + RECORD_HEAD.size)
        return size, tag

    def _rows(self, window: bytes, at: int, stop: int, layout: Layout, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return the block of rows of one layout that begins here; its first row is known to be intact."""
        size = layout.record_bytes
        candidates = max(1, min(stop - at, len(window) - at, WINDOW_BYTES) // size)
        array = np.frombuffer(window, dtype, candidates, at)
        others = (array["size"] != size) | (array["tag"] != layout.tag)
        count = int(np.argmax(others)) if others.any() else candidates
        if self._check:
            view = memoryview(window)
            crcs = array["crc"]
            for row in range(1, count):
                start = at + row * size
                if zlib.crc32(view[start + RECORD_HEAD.size : start + size], size) != crcs[row]:
                    count = row
                    break
        return array[:count]


def _steps_at(segment: Segment) -> StepState | None:
    """Return the writer's state at the start of a segment; None if it is unknown."""
    return StepState(segment.info.step, segment.info.begun) if segment.info.step >= 0 else None


def _shown(segment: Segment) -> str:
    return "" if segment.single_file else segment.name


def _sum_up(found: Sequence[Damage]) -> Damage | None:
    """Return several damages as one: the first place, and the sum of what is lost."""
    if len(found) < 2:
        return found[0] if found else None
    known = all(damage.records >= 0 for damage in found)
    return Damage(
        ", ".join(dict.fromkeys(damage.segment for damage in found)),
        found[0].offset,
        sum(damage.bytes for damage in found),
        sum(damage.records for damage in found) if known else -1,
        ends=False,
    )


def _text_and_content(body: bytes, tag: int) -> tuple[bytes, bytes]:
    """Return a record's JSON, and the bytes after it. Raises: struct.error if the body is too short."""
    if tag != TAG_MEDIA:
        return body, b""
    (length,) = MEDIA_HEAD.unpack_from(body)
    start = MEDIA_HEAD.size + length
    return body[MEDIA_HEAD.size : start], body[start:]
