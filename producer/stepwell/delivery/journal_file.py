"""Delivery of a journal from its file: of an ended session, or of one that another process still writes.

Resumable, since the file stores the acknowledged position; idempotent, since events carry their session and sequence.
Every checksum is verified, so a damaged record is never sent.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Final, Self

from aiokafka import AIOKafkaProducer

from stepwell.delivery.publisher import READ_BYTES, Publisher
from stepwell.errors import JournalError
from stepwell.journal.format import Position, read_acknowledged, read_header, write_acknowledged
from stepwell.journal.reader import Damage, Reader, used_bytes
from stepwell_schemas.limits import MIB

Progress = Callable[[str, int, int], None]
"""Progress callback: a journal's name, bytes done, total bytes."""

_COUNT_MAX_BYTES: Final = 256 * MIB
_DAMAGED_SUFFIX: Final = ".damaged"


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
    def left_bytes(self) -> int:
        """Number of bytes that are not delivered. Not only the next record counts: a gap may lie before others."""
        return max(0, used_bytes(self._data) - self.reached.offset)

    def count_records(self) -> int:
        """Return the number of intact records; of a large journal, the number of acknowledged ones."""
        if used_bytes(self._data) > _COUNT_MAX_BYTES:
            return self.start.sequence
        reader = Reader(check=False)
        for _ in reader.read(self._data, len(self._data), len(self._data)):
            pass
        return max(reader.position.sequence, self.start.sequence)

    async def deliver(self, producer: AIOKafkaProducer, topic: str, progress: Progress = no_progress) -> None:
        """Send what is not acknowledged yet. Raises: aiokafka's KafkaError; a second call continues."""
        total = used_bytes(self._data)

        def report(offset: int) -> None:
            progress(self.path.name, offset, total)

        report(self.reached.offset)
        async for offset in self.deliver_in_parts(producer, topic):
            report(offset)
        report(total if self.damage is None else self.damage.offset)

    async def deliver_in_parts(
        self, producer: AIOKafkaProducer, topic: str, part_bytes: int = READ_BYTES
    ) -> AsyncGenerator[int]:
        """Send what is not acknowledged yet; yield the offset reached after each part, when it is acknowledged.

        Raises: aiokafka's KafkaError.
        """
        if not self.left_bytes:
            return  # without a look at the layouts of the records before
        data = self._data
        reader = Reader(check=True)
        reader.skip_to(data, self.reached)
        publisher = Publisher(producer, topic, self.info, reader, self._acknowledge)
        try:
            while await publisher.send(data, len(data), part_bytes):
                await publisher.flush()
                yield self.reached.offset
        finally:
            publisher.cancel_pending()
        self.rejection = publisher.rejection
        self.damage = reader.damage(data)

    def _acknowledge(self, position: Position) -> None:
        self.reached = position
        self._store_position(position)

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


def remove_journal(path: Path) -> None:
    """Remove a delivered journal."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def set_apart(file: JournalFile) -> str:
    """Rename a damaged journal, so that it is not read again; return what could not be delivered, "" if all was."""
    if file.damage is None:
        return file.rejection
    apart = file.path.with_name(file.path.name + _DAMAGED_SUFFIX)
    with contextlib.suppress(OSError):
        file.path.replace(apart)
    return f"the journal {file.path} is {file.damage}; it was renamed to {apart.name}"
