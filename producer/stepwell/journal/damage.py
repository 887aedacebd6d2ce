"""Damage of journals: where reading had to stop, and the search for it at a journal's end."""

from __future__ import annotations

import zlib
from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np

from stepwell.journal.format import RECORD_HEAD, TAG, TAG_EVENT, TAG_LAYOUT, TAG_MEDIA, TAG_ROW

HEAD_BYTES: Final = RECORD_HEAD.size + TAG.size
WINDOW_BYTES: Final = 4 * 1024 * 1024


class Damage(NamedTuple):
    """A part of a journal that can't be read.

    Attributes:
        segment: the file, "" for a journal in one file. offset: the offset from which it can't be read. bytes: the
            bytes lost. records: the numbered records lost, -1 if unknown.
        ends: whether the journal can't be read after it, either.
    """

    segment: str
    offset: int
    bytes: int
    records: int = -1
    ends: bool = True

    def __str__(self) -> str:
        where = f"damaged at byte {self.offset:,}" + (f" ({self.segment})" if self.segment else "")
        lost = f"{self.bytes:,} bytes" + (f" with {self.records:,} records" if self.records >= 0 else "")
        if self.ends:
            return f"{where}: everything before it is readable, the {lost} from there on are not"
        return f"{where}: {lost} can't be read, everything before and after them can"


def find_tail_damage(tail: bytes, layouts: Collection[int], *, single_file: bool) -> int:
    """Return the number of damaged bytes at a journal's end, given the bytes that no record could be read from.

    A record that was being written when the process died is no damage: its `log()` had not returned. Such a record is
    incomplete, and no intact record follows it. In a single file, the head of a record is written after its body.
    """
    used = len(tail.rstrip(b"\0")) if single_file else len(tail)
    head = tail[: RECORD_HEAD.size]
    if used == 0 or (any(head) and single_file):
        return used
    if _is_complete(tail, head) or has_record(tail, RECORD_HEAD.size, layouts):
        return used
    return 0


def _is_complete(tail: bytes, head: bytes) -> bool:
    """Return whether the first record is all there, but not intact; its length may be what is damaged."""
    if len(head) < RECORD_HEAD.size or not any(head):
        return False
    size, crc = RECORD_HEAD.unpack(head)
    return bool(size <= len(tail) or zlib.crc32(tail[RECORD_HEAD.size :], len(tail)) == crc)


def has_record(data: bytes, first: int, layouts: Collection[int]) -> bool:
    """Return whether an intact record begins anywhere in `data` from the byte `first` on."""
    tags = [TAG_LAYOUT, TAG_ROW, TAG_EVENT, TAG_MEDIA, *layouts]
    end = len(data)
    for start in range(first, max(first, end - HEAD_BYTES), WINDOW_BYTES):
        window = np.frombuffer(data, "u1", min(WINDOW_BYTES + HEAD_BYTES, end - start), start)
        for shift in range(4):
            words = window[shift : shift + (len(window) - shift) // 4 * 4].view("<u4")
            sizes, tag_words = words[:-2], words[2:]
            likely = (sizes >= HEAD_BYTES) & (sizes <= end - start) & np.isin(tag_words, tags)
            for word in np.flatnonzero(likely).tolist():
                at, size = start + shift + 4 * word, int(sizes[word])
                if at + size <= end and is_whole(data, at, size):
                    return True
    return False


def is_whole(data: bytes, offset: int, size: int) -> bool:
    """Return whether the record at an offset has this size and its checksum."""
    size_there, crc = RECORD_HEAD.unpack_from(data, offset)
    body = memoryview(data)[offset + RECORD_HEAD.size : offset + size]
    return bool(size_there == size and zlib.crc32(body, size) == crc)
