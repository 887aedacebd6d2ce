"""Delivery of a journal from its files: of an ended session, or of one that another process still writes.

Resumable, since the head stores the acknowledged position; idempotent, since events carry their session and sequence.
Every checksum is verified, so a damaged record is never sent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from aiokafka import AIOKafkaProducer

from stepwell.delivery.publisher import Publisher
from stepwell.journal.damage import Damage
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
        damage: the damage that ended reading early, None if there is none. rejection: see `Publisher`.
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
    def done(self) -> bool:
        """Return whether nothing is left to deliver. Raises: OSError."""
        return self._stored.delivered

    async def deliver(self, producer: AIOKafkaProducer, topic: str, progress: Progress = no_progress) -> None:
        """Send what is not acknowledged yet. Raises: aiokafka's KafkaError, OSError; a second call continues."""
        stored = self._stored
        total = stored.end()
        reader = Reader(check=True)
        reader.skip_to(stored, self.reached)

        def acknowledge(position: Position) -> None:
            self.reached = position
            stored.acknowledge(position)
            progress(self.path.name, position.offset, total)

        progress(self.path.name, self.reached.offset, total)
        publisher = Publisher(producer, topic, self.info, reader, acknowledge)
        try:
            while await publisher.send(stored, sys.maxsize):
                continue
            await publisher.flush()
        finally:
            publisher.cancel_pending()
        self.rejection = publisher.rejection
        self.damage = reader.damage(stored)
        progress(self.path.name, total, total)
