"""Store the media files of a flush in the media store, before the flush is planned or inserted.

A file of a single chunk was validated when it was received, and is stored directly. The chunks of a larger file are
stored as parts until the last one arrives; then the file is checked against its SHA-256 and assembled. A file that
exists already is checked in the same way: a producer that names a file without sending its bytes gets no row for it.

All steps are idempotent. Chunks stay until their flush is committed, so that a repeated flush finds the same ones.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, NamedTuple

from stepwell_ingestor.messages import Received
from stepwell_schemas.events.models import MediaChunk
from stepwell_schemas.media_store import MediaStore, file_path, parts_path, piece_path

_PUTS_AT_ONCE: Final = 16
_UPLOAD_DIGITS: Final = 32


class UploadedChunk(NamedTuple):
    """A chunk of a file, with the offset of its event."""

    offset: int
    chunk: MediaChunk


class MediaArrivals(NamedTuple):
    """The media of some events: files of a single chunk, by SHA-256, and chunks of larger files, by upload folder."""

    files: dict[str, bytes]
    uploads: dict[str, list[UploadedChunk]]


def group_media(received: Iterable[Received]) -> MediaArrivals:
    """Group the media chunks of events. An upload is the transfer of one file by one session."""
    arrivals = MediaArrivals({}, {})
    for item in received:
        chunk = item.event
        if not isinstance(chunk, MediaChunk):
            continue
        if chunk.count == 1:
            arrivals.files[chunk.sha256] = chunk.data
        else:
            sender = "\0".join((*item.path, chunk.session, str(chunk.count)))
            upload = hashlib.sha256(sender.encode()).hexdigest()[:_UPLOAD_DIGITS]
            folder = parts_path(chunk.sha256, upload)
            arrivals.uploads.setdefault(folder, []).append(UploadedChunk(item.message.offset, chunk))
    return arrivals


class StoredMedia(NamedTuple):
    """The outcome of `store_media`.

    `refused`: by offset, the reason why the file that an event completes is unusable. `done`: folders whose chunks are
    no longer needed.
    """

    refused: dict[int, str]
    done: list[str]


async def store_media(media: MediaStore, received: Sequence[Received]) -> StoredMedia:
    """Store the media of events; none of the events may be a repetition.

    Raises:
        MediaUnavailableError: if the media store can't be reached; the same call may be repeated.
    """
    arrivals = group_media(received)
    await _put_all(media, [(file_path(sha256), data) for sha256, data in arrivals.files.items()])
    stored = StoredMedia({}, [])
    for folder, chunks in arrivals.uploads.items():
        await _store_chunks(media, folder, chunks, stored)
    return stored


async def tidy_media(media: MediaStore, stored: StoredMedia) -> None:
    """Delete the chunks of assembled files, once their flush can't be repeated any more.

    Raises:
        MediaUnavailableError: if the media store can't be reached; remaining chunks do no harm.
    """
    for folder in stored.done:
        await media.delete([piece_path(folder, index) for index in sorted(await media.sizes(folder))])


async def _put_all(media: MediaStore, objects: Sequence[tuple[str, bytes]]) -> None:
    slots = asyncio.Semaphore(_PUTS_AT_ONCE)

    async def put(path: str, data: bytes) -> None:
        async with slots:
            await media.put(path, data)

    # Wait for all of them before raising the first error: the next attempt must not race with puts of this one.
    outcomes = await asyncio.gather(*(put(path, data) for path, data in objects), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def _store_chunks(media: MediaStore, folder: str, chunks: Sequence[UploadedChunk], stored: StoredMedia) -> None:
    last = next((piece for piece in chunks if piece.chunk.index == piece.chunk.count - 1), None)
    await _put_all(media, [(piece_path(folder, piece.chunk.index), piece.chunk.data) for piece in chunks])
    if last is None:
        return
    refusal = await _assemble(media, folder, last.chunk)
    if refusal:
        stored.refused[last.offset] = refusal
    else:
        stored.done.append(folder)


async def _assemble(media: MediaStore, folder: str, last: MediaChunk) -> str:
    """Assemble a file from its chunks; return the reason if they don't match the file, "" if they do.

    Refused chunks stay: a missing one may still be redriven, and a repeated flush must find the same chunks.
    """
    sizes = await media.sizes(folder)
    missing = [index for index in range(last.count) if index not in sizes]
    if missing:
        return f"chunk {missing[0]} of {last.count} of file {last.sha256} is missing"
    total = sum(sizes.values())
    if total != last.size:
        return f"file {last.sha256} has {total:,} bytes and not the {last.size:,} that were announced"
    digest = hashlib.sha256()
    async for data in _content(media, folder, sizes):
        await asyncio.to_thread(digest.update, data)
    if digest.hexdigest() != last.sha256:
        return f"file {last.sha256} has the SHA-256 {digest.hexdigest()}"
    if await media.size(file_path(last.sha256)) != total:
        await media.put(file_path(last.sha256), _content(media, folder, sizes))
    return ""


async def _content(media: MediaStore, folder: str, sizes: dict[int, int]) -> AsyncIterator[bytes]:
    for index in sorted(sizes):
        async for data in media.read(piece_path(folder, index), 0, sizes[index]):
            yield data
