"""Media files on their way into the journal: named by their content, cut into pieces, each file once a session."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from time import time_ns
from typing import Final

from stepwell.errors import NoRoomError, UnstorableError
from stepwell.journal.format import MEDIA_HEAD, TAG, TAG_MEDIA
from stepwell.journal.journal import Journal
from stepwell_schemas.limits import KIB, MEDIA_CHUNK_BYTES

_HEAD_MAX_BYTES: Final = KIB


class Files:
    """The files of one journal: a `Keep`. Safe to call from any thread."""

    def __init__(self, journal: Journal, max_bytes: int) -> None:
        self._journal = journal
        self.max_bytes = max_bytes
        self._kept: set[str] = set()

    def of(self, journal: Journal) -> Files:
        """Return the same for another journal, which holds no files yet."""
        return Files(journal, self.max_bytes)

    def __call__(self, data: bytes, content_type: str) -> str:
        """Put a file into the journal, unless it is there; return its SHA-256.

        Raises:
            UnstorableError: when it is larger than the bound. NoRoomError: when the journal has no room for it.
        """
        if len(data) > self.max_bytes:
            raise UnstorableError(
                f"the file has {len(data):,} bytes; at most {self.max_bytes:,} are taken (STEPWELL_MEDIA_MAX_BYTES)"
            )
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in self._kept:
            # Only then may another thread's row rely on it.
            bodies = pieces(data, sha256, content_type, time_ns() // 1000)
            if not self._journal.append_all(bodies, len(data) + _count(data) * _HEAD_MAX_BYTES):
                raise NoRoomError
            self._kept.add(sha256)
        return sha256


def pieces(data: bytes, sha256: str, content_type: str, timestamp: int) -> Iterator[bytes]:
    """Yield the bodies of a file's records, of MEDIA_CHUNK_BYTES each but for the last; an empty file has one."""
    count = _count(data)
    for index in range(count):
        head = {
            "timestamp": timestamp,
            "sha256": sha256,
            "index": index,
            "count": count,
            "size": len(data),
            "content_type": content_type,
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        piece = data[index * MEDIA_CHUNK_BYTES : (index + 1) * MEDIA_CHUNK_BYTES]
        yield b"".join((TAG.pack(TAG_MEDIA), MEDIA_HEAD.pack(len(text)), text, piece))


def _count(data: bytes) -> int:
    return max(1, -(-len(data) // MEDIA_CHUNK_BYTES))
