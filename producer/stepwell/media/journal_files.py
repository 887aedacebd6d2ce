"""Media files in the journal: content-addressed, split into chunks, each file once per session."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from time import time_ns
from typing import Final

from stepwell.errors import NoRoomError, UnstorableError
from stepwell.journal.format import MEDIA_HEAD, TAG, TAG_MEDIA
from stepwell.journal.journal import Journal
from stepwell_schemas.limits import KIB, MEDIA_CHUNK_BYTES

_HEAD_MAX_BYTES: Final = KIB


class MediaFiles:
    """The media files of one journal: a thread-safe `Keep`.

    Args:
        on_part: receives the key of a value of which a part is not stored, "" if it has none, and the rule.
    """

    def __init__(self, journal: Journal, max_bytes: int, on_part: Callable[[str, str], None]) -> None:
        self._journal = journal
        self.max_bytes = max_bytes
        self._on_part = on_part
        self._key = ""
        self._kept: set[str] = set()

    def for_journal(self, journal: Journal) -> MediaFiles:
        """Return a new instance with the same limit for another journal."""
        return MediaFiles(journal, self.max_bytes, self._on_part)

    def for_key(self, key: str) -> MediaFiles:
        """Return an instance that stores the same files, and reports parts of the value of a key."""
        named = copy.copy(self)
        named._key = key
        return named

    def report(self, rule: str) -> None:
        """Report a part of a value that is not stored."""
        self._on_part(self._key, rule)

    def __call__(self, data: bytes, content_type: str) -> str:
        """Write a file to the journal, unless it is there already, and return its SHA-256.

        Raises:
            UnstorableError: if it exceeds the size limit. NoRoomError: if the journal has no room for it.
        """
        if len(data) > self.max_bytes:
            raise UnstorableError(
                f"the file has {len(data):,} bytes; the limit is {self.max_bytes:,} (STEPWELL_MEDIA_MAX_BYTES)"
            )
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 not in self._kept:
            # Marked as written only afterwards: until then, other threads write it themselves.
            bodies = media_records(data, sha256, content_type, time_ns() // 1000)
            if not self._journal.append_all(bodies, len(data) + _count(data) * _HEAD_MAX_BYTES):
                raise NoRoomError
            self._kept.add(sha256)
        return sha256


def media_records(data: bytes, sha256: str, content_type: str, timestamp: int) -> Iterator[bytes]:
    """Yield the record bodies of a file, in chunks of MEDIA_CHUNK_BYTES; an empty file has one."""
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
        chunk = data[index * MEDIA_CHUNK_BYTES : (index + 1) * MEDIA_CHUNK_BYTES]
        yield b"".join((TAG.pack(TAG_MEDIA), MEDIA_HEAD.pack(len(text)), text, chunk))


def _count(data: bytes) -> int:
    return max(1, -(-len(data) // MEDIA_CHUNK_BYTES))
