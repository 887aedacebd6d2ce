"""Where a media file's bytes come from: a path, bytes, an open file; and what was taken over before `log()`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from stepwell.errors import UnstorableError
from stepwell.media.base import Keep, limit_of

T = TypeVar("T")


class Taken(Generic[T]):
    """What a constructor took over, or why it could not: told when the value is logged, and not before."""

    def __init__(self, take: Callable[[], T]) -> None:
        """Take it now."""
        self._values: list[T] = []
        self._error: Exception | None = None
        try:
            self._values.append(take())
        except Exception as error:
            # Whatever a foreign object raises is reported with the key that it is logged under.
            self._error = error

    def get(self) -> T:
        """Return it. Raises: what taking it raised."""
        if self._error is not None:
            raise self._error
        return self._values[0]


class Source:
    """A file that is given as a path, as bytes or as an open file (text or binary, read now, from its start).

    Attributes:
        name: the path, or the open file's name; "" where it has none.
    """

    def __init__(self, given: str | os.PathLike[str] | bytes | bytearray | memoryview | Any) -> None:
        self.name = ""
        self._path: Path | None = None
        self._content: Taken[bytes] | None = None
        if isinstance(given, str | os.PathLike):
            self._path = Path(given).expanduser()
            self.name = str(given)
        elif isinstance(given, bytes | bytearray | memoryview):
            self._content = Taken(lambda: bytes(given))
        else:
            named = getattr(given, "name", "")
            self.name = named if isinstance(named, str) else ""
            self._content = Taken(lambda: _read_open(given))

    @property
    def extension(self) -> str:
        """The name's last extension in lower case, without its dot."""
        return Path(self.name).suffix.removeprefix(".").lower()

    def read(self, keep: Keep) -> bytes:
        """Return the bytes; a path is read now. Raises: UnstorableError, OSError."""
        if self._path is None:
            assert self._content is not None  # noqa: S101 - a source is one or the other
            content = self._content.get()
        else:
            _check(self._path, limit_of(keep))
            content = self._path.read_bytes()
        if not content:
            raise UnstorableError(f"{self.name or 'the file'} is empty")
        return content


def is_source(value: Any) -> bool:
    """Say whether a value is a path, bytes or an open file."""
    return isinstance(value, str | os.PathLike | bytes | bytearray | memoryview) or hasattr(value, "read")


def _read_open(file: Any) -> bytes:
    if hasattr(file, "seek") and (not hasattr(file, "seekable") or file.seekable()):
        file.seek(0)
    content = file.read()
    return content.encode() if isinstance(content, str) else bytes(content)


def _check(path: Path, limit: int) -> None:
    """Look before reading: a pipe would never end, and a file over the limit would fill the memory first."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UnstorableError(f"{path} is no file")
    if status.st_size > limit:
        raise UnstorableError(
            f"{path} has {status.st_size:,} bytes; at most {limit:,} are taken (STEPWELL_MEDIA_MAX_BYTES)"
        )


def chosen_format(given: str | None, source: Source, known: dict[str, str]) -> str:
    """Return a file's format: as given, else by its name. Raises: UnstorableError when it is none of `known`."""
    name = Path(source.name).name.lower()
    by_name = next((ending for ending in sorted(known, key=len, reverse=True) if name.endswith(f".{ending}")), "")
    found = (given or by_name or source.extension).lower().removeprefix(".")
    if found not in known:
        shown = repr(found) if found else "is not known: name it with file_type="
        raise UnstorableError(f"format {shown}; there are {', '.join(known)}")
    return found
