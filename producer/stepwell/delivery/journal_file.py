"""Delivery of a journal from its files: of an ended session, or of one that another process still writes.

Resumable, since the journal stores the acknowledged position; idempotent, since events carry their session and
sequence. Every checksum is verified, so a damaged record is never sent.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Self

from stepwell.delivery.publisher import READ_BYTES, Publisher
from stepwell.delivery.transport import Transport
from stepwell.journal.damage import Damage
from stepwell.journal.folders import quarantine
from stepwell.journal.format import Position
from stepwell.journal.reader import Reader
from stepwell.journal.stored import StoredJournal

Progress = Callable[[str, int, int], None]
"""Progress callback: a journal's name, bytes done, total bytes."""


def no_progress(name: str, done: int, total: int) -> None:
    """Ignore progress."""
    del name, done, total


class JournalFile:
    """A journal opened for delivery.

    Attributes:
        info: the journal's identity. start, reached: the acknowledged position when it was opened, and now.
        damage: the records that can't be read, None if there are none. rejection: see `Publisher`.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal; writable, if possible, to store the acknowledged position. Raises: JournalError."""
        self.path = path
        self._stored = StoredJournal(path)
        self.info = self._stored.info
        self.start = self.reached = self._stored.acknowledged
        self.damage: Damage | None = None
        self.rejection = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stored.close()

    @property
    def left_bytes(self) -> int:
        """Number of bytes that are not delivered. Raises: OSError."""
        return self._stored.left_bytes(self.reached)

    async def deliver(self, transport: Transport, progress: Progress = no_progress) -> None:
        """Send what is not acknowledged yet. Raises: TransportError, OSError; a second call continues."""
        total = self._stored.end()

        def report(offset: int) -> None:
            progress(self.path.name, offset, total)

        report(self.reached.offset)
        async for offset in self.deliver_in_parts(transport):
            report(offset)
        report(self.damage.offset if self.damage is not None and self.damage.ends else total)

    async def deliver_in_parts(self, transport: Transport, part_bytes: int = READ_BYTES) -> AsyncGenerator[int]:
        """Send what is not acknowledged yet; yield the offset reached after each part, when it is acknowledged.

        Raises: TransportError, OSError.
        """
        stored = self._stored
        if not self.left_bytes and stored.known_records() <= self.reached.sequence:
            return  # without a look at the layouts of the records before
        reader = Reader(check=True, first_step=self.info.first_step)
        reader.skip_to(stored, self.reached)
        publisher = Publisher(transport, self.info, reader, self._acknowledge, self.path)
        try:
            while await publisher.send(stored, sys.maxsize, part_bytes):
                await publisher.flush()
                yield self.reached.offset
        finally:
            publisher.cancel_pending()
        self.rejection = publisher.rejection
        self.damage = reader.damage(stored)

    def _acknowledge(self, position: Position) -> None:
        self.reached = position
        self._stored.acknowledge(position)


def set_apart(file: JournalFile) -> str:
    """Rename a damaged journal, so that it is not read again; return what could not be delivered, "" if all was."""
    if file.damage is None:
        return file.rejection
    return f"the journal {file.path} is {file.damage}; it was renamed to {quarantine(file.path).name}"
