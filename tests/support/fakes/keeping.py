"""A keep for media that are taken outside a run: the files by their SHA-256."""

from __future__ import annotations

import hashlib
from typing import Any

from stepwell.media.base import Media


class Kept:
    """Takes files as a session does, and gives them back."""

    def __init__(self, max_bytes: int = 2**24) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self.max_bytes = max_bytes

    def __call__(self, data: bytes, content_type: str) -> str:
        """Keep a file; return its SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.files[sha256] = (data, content_type)
        return sha256

    def content(self, reference: dict[str, Any]) -> bytes:
        """Return the file that a reference names, once its size and type are seen to be right."""
        data, content_type = self.files[reference["sha256"]]
        assert (reference["size"], reference["content_type"]) == (len(data), content_type)
        return data


def taken(media: Media) -> tuple[dict[str, Any], bytes]:
    """Return a medium's reference and its file."""
    kept = Kept()
    reference = media.take(kept)
    return reference, kept.content(reference)
