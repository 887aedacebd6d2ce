"""Sources of a media file's bytes: a path, bytes or an open file; and snapshots of values before `log()`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from stepwell.errors import UnstorableError
from stepwell.media.base import Keep, max_file_bytes

T = TypeVar("T")


class Snapshot(Generic[T]):
    """A value computed in a constructor; an error is kept and raised when the value is logged."""

    def __init__(self, take: Callable[[], T]) -> None:
        """Compute the value."""
        self._values: list[T] = []
        self._error: Exception | None = None
        try:
            self._values.append(take())
        except Exception as error:
            # Any error of a foreign object is reported later, with the key that it is logged under.
            self._error = error

    def get(self) -> T:
        """Return the value. Raises: the error of its computation."""
        if self._error is not None:
            raise self._error
        return self._values[0]


class FileSource:
    """A file given as a path, as bytes, or as an open file (text or binary, read immediately, from its start).

    Attributes:
        name: the path, or the open file's name; "" if it has none.
    """

    def __init__(self, given: str | os.PathLike[str] | bytes | bytearray | memoryview | Any) -> None:
        self.name = ""
        self._path: Path | None = None
        self._content: Snapshot[bytes] | None = None
        if isinstance(given, str | os.PathLike):
            self._path = Path(given).expanduser()
            self.name = str(given)
        elif isinstance(given, bytes | bytearray | memoryview):
            self._content = Snapshot(lambda: bytes(given))
        else:
            named = getattr(given, "name", "")
            self.name = named if isinstance(named, str) else ""
            self._content = Snapshot(lambda: _read_open(given))

    @property
    def extension(self) -> str:
        """The last extension of the name in lower case, without the dot."""
        return Path(self.name).suffix.removeprefix(".").lower()

    def read(self, keep: Keep) -> bytes:
        """Return the bytes; a path is read by this call. Raises: UnstorableError, OSError."""
        if self._path is None:
            assert self._content is not None  # noqa: S101 - a source is one or the other
            content = self._content.get()
        else:
            _check(self._path, max_file_bytes(keep))
            content = self._path.read_bytes()
        if not content:
            raise UnstorableError(f"{self.name or 'the file'} is empty")
        return content


def is_file_source(value: Any) -> bool:
    """Return whether a value is a path, bytes or an open file."""
    return isinstance(value, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read")


def _read_open(file: Any) -> bytes:
    if hasattr(file, "seek") and (not hasattr(file, "seekable") or file.seekable()):
        file.seek(0)
    content = file.read()
    return content.encode() if isinstance(content, str) else bytes(content)


def _check(path: Path, limit: int) -> None:
    """Check a path before reading: a pipe might never end, and an oversized file would fill the memory."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnstorableError(f"{path} is not a regular file")
    if status.st_size > limit:
        raise UnstorableError(f"{path} has {status.st_size:,} bytes; the limit is {limit:,} (STEPWELL_MEDIA_MAX_BYTES)")


def resolve_format(given: str | None, source: FileSource, known: dict[str, str]) -> str:
    """Return a file's format: the given one, or by its name. Raises: UnstorableError if it is not in `known`."""
    name = Path(source.name).name.lower()
    by_name = next((ending for ending in sorted(known, key=len, reverse=True) if name.endswith(f".{ending}")), "")
    form = (given or by_name or source.extension).lower().removeprefix(".")
    if form not in known:
        problem = f"{form!r} is not supported" if form else "is unknown: set file_type="
        raise UnstorableError(f"format {problem}; supported: {', '.join(known)}")
    return form
