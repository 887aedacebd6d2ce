"""The object store that holds media files: a folder, S3, Google's, Azure's. What both services ask of it.

    media/<first two digits>/<sha256>   a file, named by its content, never changed
    parts/<sha256>/<upload>/<index>     a piece of a file that has not come whole yet

Every call may be repeated: a file or a piece is there whole or not at all, and putting it again changes nothing.
Needs obstore (extras `ingestor` and `query`), which is imported at the first call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from stepwell_schemas.errors import MediaUnavailableError
from stepwell_schemas.limits import MIB

if TYPE_CHECKING:
    from obstore.store import ObjectStore

READ_BYTES: Final = 4 * MIB
_INDEX_DIGITS: Final = 6
# A caller waits and asks again itself, and must be able to give up in between.
_RETRIES: Final = 2
_RETRY_TIMEOUT: Final = timedelta(seconds=10)
_CONNECT_TIMEOUT: Final = timedelta(seconds=5)
_LOCAL_SCHEMES: Final = ("", "file")


def file_path(sha256: str) -> str:
    """Return where a file is kept."""
    return f"media/{sha256[:2]}/{sha256}"


def parts_path(sha256: str, upload: str) -> str:
    """Return below which the pieces of an upload are kept."""
    return f"parts/{sha256}/{upload}"


class MediaStore:
    """The files below one URL. All methods raise MediaUnavailableError where the store does not do as it is asked."""

    def __init__(self, url: str) -> None:
        """Take the URL, or a folder; the first call opens it."""
        self._url = url

    @cached_property
    def _store(self) -> ObjectStore:
        from obstore.store import LocalStore, from_url

        parts = urlsplit(self._url)
        if parts.scheme in _LOCAL_SCHEMES:
            folder = Path(parts.path if parts.scheme else self._url).expanduser()
            return LocalStore(folder.absolute(), mkdir=True)
        if parts.scheme == "memory":
            return from_url(self._url)
        retries: Any = {"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT}
        # An endpoint without TLS (MinIO in a cluster, say) is reached where the variables name one.
        client: Any = {"connect_timeout": _CONNECT_TIMEOUT, "allow_http": True}
        return from_url(self._url, retry_config=retries, client_options=client)

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            raise MediaUnavailableError(f"the media store {self._url} can't {what}: {_first_line(error)}") from error

    async def size(self, path: str) -> int | None:
        """Return the bytes of an object, None where there is none."""
        with self._asked(f"look for {path}"):
            try:
                found = await self._store.head_async(path)
            except FileNotFoundError:
                return None
            return int(found["size"])

    async def sizes(self, folder: str) -> dict[int, int]:
        """Return the bytes of the pieces below a folder, by their index."""
        with self._asked(f"list {folder}"):
            found = await self._store.list(f"{folder}/").collect_async()
            return {int(one["path"].rpartition("/")[2]): one["size"] for one in found}

    async def put(self, path: str, content: bytes | AsyncIterator[bytes]) -> None:
        """Store an object whole, in the place of one that is there."""
        with self._asked(f"store {path}"):
            await self._store.put_async(path, content)

    async def read(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, end) of an object, READ_BYTES at a time."""
        for first in range(start, end, READ_BYTES):
            with self._asked(f"read {path}"):
                part = await self._store.get_range_async(path, start=first, end=min(first + READ_BYTES, end))
            yield bytes(part)

    async def delete(self, paths: list[str]) -> None:
        """Delete objects, those that are there."""
        for path in paths:
            with self._asked(f"delete {path}"):
                try:
                    await self._store.delete_async(path)
                except FileNotFoundError:
                    continue


def piece_path(folder: str, index: int) -> str:
    """Return where a piece is kept below its upload's folder."""
    return f"{folder}/{index:0{_INDEX_DIGITS}d}"


def _first_line(error: Exception) -> str:
    """Return what obstore says for people; lines of its inner state follow."""
    return next(iter(str(error).splitlines()), type(error).__name__)
