"""Delivering a journal from its file: one whose session has ended, or that another process is still writing.

Resumable, since the acknowledged position is kept in the file; idempotent, since events carry their session and
sequence. Every checksum is verified: what is sent is what was logged, or nothing.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Self

from aiokafka import AIOKafkaProducer

from stepwell.delivery.publisher import Pump
from stepwell.errors import JournalError
from stepwell.journal.format import RECORD_HEAD, Position, read_acknowledged, read_header, write_acknowledged
from stepwell.journal.reader import Damage, Reader, used_bytes

Progress = Callable[[str, int, int], None]
"""Told of a journal's name, and how many of its bytes are done, of how many."""


def silent(name: str, done: int, total: int) -> None:
    """Show no progress."""
    del name, done, total


class JournalFile:
    """A journal opened for delivery.

    Attributes:
        info: whose records it holds. start, reached: the acknowledged position when it was opened, and now.
        damage: what ended reading before the journal's end, None while nothing did. refusal: see `Pump`.
    """

    def __init__(self, path: Path) -> None:
        """Open it, to write the acknowledged position too where the file system lets us. Raises: JournalError."""
        self.path = path
        try:
            self._data, self._writable = _mapped(path)
        except (OSError, ValueError) as error:
            raise JournalError(f"can't read {path}: {error}") from error
        self.info, self.start = read_header(self._data, str(path))
        self.reached = self.start
        self.damage: Damage | None = None
        self.refusal = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        try:
            self._data.close()
        except BufferError:
            return  # rows of it are still looked at somewhere; the mapping goes with the last of them

    @property
    def done(self) -> bool:
        """Whether nothing was left to deliver when it was opened."""
        offset = self.start.offset
        return len(self._data) < offset + RECORD_HEAD.size or not any(
            RECORD_HEAD.unpack_from(self._data, offset)  # a record that was begun has a length, 0 ends the journal
        )

    async def deliver(self, producer: AIOKafkaProducer, topic: str, progress: Progress = silent) -> None:
        """Send what it holds and was not acknowledged yet. Raises: aiokafka's KafkaError; calling it again goes on."""
        data = self._data
        total = used_bytes(data)
        reader = Reader(check=True)
        reader.skip_to(data, self.reached)

        def acknowledge(position: Position) -> None:
            self.reached = position
            self._remember(position)
            progress(self.path.name, position.offset, total)

        progress(self.path.name, self.reached.offset, total)
        pump = Pump(producer, topic, self.info, reader, acknowledge)
        try:
            while await pump.send(data, len(data)):
                continue
            await pump.settle()
        finally:
            pump.forget()
        self.refusal = pump.refusal
        self.damage = reader.damage(data)
        progress(self.path.name, total if self.damage is None else self.damage.offset, total)

    def _remember(self, position: Position) -> None:
        """Keep the position in the file, unless it can't be written or somebody else has come further."""
        if self._writable and read_acknowledged(self._data).offset < position.offset:
            write_acknowledged(self._data, position)


def _mapped(path: Path) -> tuple[mmap.mmap, bool]:
    """Return the file's mapping, and whether it can be written to. Raises: OSError; ValueError for an empty file."""
    try:
        with path.open("r+b") as file:
            return mmap.mmap(file.fileno(), 0), True
    except OSError:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), False
