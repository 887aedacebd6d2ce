"""The object store with media files (a folder, S3, Google Cloud Storage, Azure), as used by both services.

    media/<first two digits>/<sha256>   a file, named by its content and immutable
    parts/<sha256>/<upload>/<index>     a chunk of a file that is not complete yet
    removed/<first two digits>/<sha256> a file of deleted runs that is about to be deleted

Every call is idempotent: a file or chunk is stored completely or not at all, and storing it again changes nothing.
Requires obstore (extras `ingestor` and `query`), which is imported at the first call.
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
# Callers retry themselves, and must be able to give up in between.
_RETRIES: Final = 2
_RETRY_TIMEOUT: Final = timedelta(seconds=10)
_CONNECT_TIMEOUT: Final = timedelta(seconds=5)
_LOCAL_SCHEMES: Final = ("", "file")


def file_path(sha256: str) -> str:
    """Return the path of a file."""
    return f"media/{sha256[:2]}/{sha256}"


def parts_path(sha256: str, upload: str) -> str:
    """Return the path of the folder with the chunks of an upload."""
    return f"parts/{sha256}/{upload}"


class MediaStore:
    """The files below one URL. All methods raise MediaUnavailableError if a call of the store fails."""

    def __init__(self, url: str) -> None:
        """Create a store for a URL or a folder; it is opened by the first call."""
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
        # Allow endpoints without TLS that the environment variables name, such as MinIO in a cluster.
        client: Any = {"connect_timeout": _CONNECT_TIMEOUT, "allow_http": True}
        return from_url(self._url, retry_config=retries, client_options=client)

    @contextmanager
    def _translate_errors(self, what: str) -> Iterator[None]:
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, OSError) as error:
            raise MediaUnavailableError(f"the media store {self._url} can't {what}: {_first_line(error)}") from error

    async def size(self, path: str) -> int | None:
        """Return the size of an object in bytes, None if it does not exist."""
        with self._translate_errors(f"look for {path}"):
            try:
                meta = await self._store.head_async(path)
            except FileNotFoundError:
                return None
            return int(meta["size"])

    async def sizes(self, folder: str) -> dict[int, int]:
        """Return the sizes of the chunks in a folder, by index."""
        with self._translate_errors(f"list {folder}"):
            objects = await self._store.list(f"{folder}/").collect_async()
            return {int(meta["path"].rpartition("/")[2]): meta["size"] for meta in objects}

    async def put(self, path: str, content: bytes | AsyncIterator[bytes]) -> None:
        """Store an object, replacing an existing one."""
        with self._translate_errors(f"store {path}"):
            await self._store.put_async(path, content)

    async def read(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, end) of an object, READ_BYTES at a time."""
        for first in range(start, end, READ_BYTES):
            with self._translate_errors(f"read {path}"):
                part = await self._store.get_range_async(path, start=first, end=min(first + READ_BYTES, end))
            yield bytes(part)

    async def move(self, path: str, to: str) -> None:
        """Move an object, replacing an existing one; a missing one is ignored."""
        with self._translate_errors(f"move {path}"):
            try:
                await self._store.rename_async(path, to)
            except FileNotFoundError:
                return

    async def delete(self, paths: list[str]) -> None:
        """Delete objects; missing ones are ignored."""
        for path in paths:
            with self._translate_errors(f"delete {path}"):
                try:
                    await self._store.delete_async(path)
                except FileNotFoundError:
                    continue


def piece_path(folder: str, index: int) -> str:
    """Return the path of a chunk in its upload's folder."""
    return f"{folder}/{index:0{_INDEX_DIGITS}d}"


def _first_line(error: Exception) -> str:
    """Return the first line of obstore's message; the others dump internal state."""
    return next(iter(str(error).splitlines()), type(error).__name__)
