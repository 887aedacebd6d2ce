"""Base class of data types that are stored as files. Light on imports, since `import stepwell` loads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from stepwell.terminal import notify
from stepwell_schemas.limits import MEDIA_MAX_BYTES
from stepwell_schemas.rules.kinds import Kind

Keep = Callable[[bytes, str], str]
"""Stores a file's bytes and content type before the row that refers to them; once per session.

Returns the SHA-256 of the bytes in lower-case hexadecimal.

Raises:
    UnstorableError: if the file is too large. NoRoomError: if the journal has no room; callers must not catch it.
"""


class Media(ABC):
    """A value that `log()` stores under its own kind, as a reference to zero or more files.

    Constructors copy mutable data (arrays, figures, open files) and raise only TypeError, for unknown arguments. Other
    problems are raised when the value is logged, and affect that value alone.
    """

    kind: ClassVar[Kind]

    @abstractmethod
    def take(self, keep: Keep) -> dict[str, Any]:
        """Store the files with `keep` and return the reference as JSON values.

        A reference to one file has `sha256`, `size` (bytes) and `content_type`. Nested media (the cells of a table)
        are stored with the same `keep`.

        Raises:
            UnstorableError: if it can't be stored; the message is the rule that it breaks.
            OSError: if a file can't be read. NoRoomError: see `Keep`.
        """


def max_file_bytes(keep: Keep) -> int:
    """Return the size limit of files, so that larger ones are not read at all."""
    return int(getattr(keep, "max_bytes", MEDIA_MAX_BYTES))


def report_part(keep: Keep, rule: str) -> None:
    """Report a part of a value, such as a mask of an image, that can't be stored while the rest is."""
    getattr(keep, "report", notify)(rule)


def name_keep(keep: Keep, key: str) -> Keep:
    """Return `keep` for the value of a key, which its reports name, if there is one and `keep` has reports."""
    named: Callable[[str], Keep] | None = getattr(keep, "for_key", None)
    return named(key) if named is not None and key else keep


def file_reference(keep: Keep, data: bytes, content_type: str) -> dict[str, Any]:
    """Store one file and return the reference to it. Raises: UnstorableError, NoRoomError."""
    return {"sha256": keep(data, content_type), "size": len(data), "content_type": content_type}
