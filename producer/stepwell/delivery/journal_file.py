"""Delivery of a journal from its file: of an ended session, or of one that another process still writes.

Resumable, since the file stores the acknowledged position; idempotent, since events carry their session and sequence.
Every checksum is verified, so a damaged record is never sent.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Self

from stepwell.delivery.publisher import Producer, Publisher
from stepwell.errors import JournalError
from stepwell.journal.format import RECORD_HEAD, Position, read_acknowledged, read_header, write_acknowledged
from stepwell.journal.reader import Damage, Reader, used_bytes

Progress = Callable[[str, int, int], None]
"""Progress callback: a journal's name, bytes done, total bytes."""


def no_progress(name: str, done: int, total: int) -> None:
    """Ignore progress."""
    del name, done, total


class JournalFile:
    """A journal opened for delivery.

    Attributes:
        info: the journal's identity. start, reached: the acknowledged position when it was opened, and now.
        damage: the damage that ended reading early, None if there is none. rejection: see `Publisher`.
    """

    def __init__(self, path: Path) -> None:
        """Open the file; writable, if possible, to store the acknowledged position. Raises: JournalError."""
        self.path = path
        try:
            self._data, self._writable = _map_file(path)
        except (OSError, ValueError) as error:
            raise JournalError(f"can't read {path}: {error}") from error
        self.info, self.start = read_header(self._data, str(path))
        self.reached = self.start
        self.damage: Damage | None = None
        self.rejection = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        try:
            self._data.close()
        except BufferError:
            return  # views of its rows still exist; the mapping is released with the last of them

    @property
    def done(self) -> bool:
        """Return whether nothing was left to deliver when it was opened."""
        offset = self.start.offset
        return len(self._data) < offset + RECORD_HEAD.size or not any(
            RECORD_HEAD.unpack_from(self._data, offset)  # a record has a length; 0 ends the journal
        )

    async def deliver(self, producer: Producer, topic: str, progress: Progress = no_progress) -> None:
        """Send what is not acknowledged yet. Raises: aiokafka's KafkaError; a second call continues."""
        data = self._data
        total = used_bytes(data)
        reader = Reader(check=True, first_step=self.info.first_step)
        reader.skip_to(data, self.reached)

        def acknowledge(position: Position) -> None:
            self.reached = position
            self._store_position(position)
            progress(self.path.name, position.offset, total)

        progress(self.path.name, self.reached.offset, total)
        publisher = Publisher(producer, topic, self.info, reader, acknowledge, self.path)
        try:
            while await publisher.send(data, len(data)):
                continue
            await publisher.flush()
        finally:
            publisher.cancel_pending()
        self.rejection = publisher.rejection
        self.damage = reader.damage(data)
        progress(self.path.name, total if self.damage is None else self.damage.offset, total)

    def _store_position(self, position: Position) -> None:
        """Store the position in the file, unless it is read-only or another process has advanced further."""
        if self._writable and read_acknowledged(self._data).offset < position.offset:
            write_acknowledged(self._data, position)


def _map_file(path: Path) -> tuple[mmap.mmap, bool]:
    """Return the file's mapping, and whether it is writable. Raises: OSError; ValueError for an empty file."""
    try:
        with path.open("r+b") as file:
            return mmap.mmap(file.fileno(), 0), True
    except OSError:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), False
