"""A fake of a session's media files, for media values outside a run: the files by their SHA-256."""

from __future__ import annotations

import hashlib
from typing import Any

from stepwell.media.base import Media


class Kept:
    """Stores files as a session does, and returns them."""

    def __init__(self, max_bytes: int = 2**24) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self.max_bytes = max_bytes
        self.reported: list[str] = []

    def report(self, rule: str) -> None:
        """Keep the rule that a part of a value breaks."""
        self.reported.append(rule)

    def __call__(self, data: bytes, content_type: str) -> str:
        """Store a file; return its SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.files[sha256] = (data, content_type)
        return sha256

    def content(self, reference: dict[str, Any]) -> bytes:
        """Return the file of a reference, after a check of its size and type."""
        data, content_type = self.files[reference["sha256"]]
        assert (reference["size"], reference["content_type"]) == (len(data), content_type)
        return data


def taken(media: Media) -> tuple[dict[str, Any], bytes]:
    """Return a medium's reference and its file."""
    kept = Kept()
    reference = media.take(kept)
    return reference, kept.content(reference)
