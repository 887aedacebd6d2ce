"""The contract of every data type that is stored as files. Light: `import stepwell` loads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from stepwell_schemas.limits import MEDIA_MAX_BYTES
from stepwell_schemas.rules.kinds import Kind

Keep = Callable[[bytes, str], str]
"""Stores a file's bytes, of a content type, before the row that refers to them; once a session.

Returns the bytes' SHA-256 in lower-case hexadecimal.

Raises:
    UnstorableError: when the file is too large. NoRoomError: when the journal has no room; to be passed on.
"""


class Media(ABC):
    """A value that `log()` stores under a kind of its own, as a reference to files (or to none).

    A constructor takes over what may change afterwards (arrays, figures, open files) and raises only TypeError, for
    arguments that don't exist: what can't be stored is found when the value is logged, and costs that value alone.
    """

    kind: ClassVar[Kind]

    @abstractmethod
    def take(self, keep: Keep) -> dict[str, Any]:
        """Give the files to `keep` and return the reference, which must be JSON.

        A reference to one file has `sha256`, `size` (bytes) and `content_type`. Media within media (the cells of a
        table) take with the same `keep`.

        Raises:
            UnstorableError: when it can't be stored; the message is the rule that it breaks.
            OSError: when a file can't be read. NoRoomError: see `Keep`.
        """


def limit_of(keep: Keep) -> int:
    """Return the bytes that a file may have, so that a larger one is not even read."""
    return int(getattr(keep, "max_bytes", MEDIA_MAX_BYTES))


def file_reference(keep: Keep, data: bytes, content_type: str) -> dict[str, Any]:
    """Store one file and return the reference to it. Raises: UnstorableError, NoRoomError."""
    return {"sha256": keep(data, content_type), "size": len(data), "content_type": content_type}
