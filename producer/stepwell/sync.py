"""Delivering journals later: offline runs, and what a run could not send.

Resumable, since the acknowledged position is kept in the journal; idempotent, since events carry their session and
sequence; safe on the journal of a run that is still logging, which simply has more records the next time.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stepwell.connection import REMEDY, find_brokers, open_producer
from stepwell.errors import NotAJournalError, NotConnectedError
from stepwell.journal import Position, read_header, write_acknowledged
from stepwell.pump import Pump
from stepwell.reader import Reader
from stepwell.settings import ProducerSettings

Progress = Callable[[str, int, int], None]
"""Told of a journal's name, and how many bytes of its file are done, of how many."""


class SyncResult(NamedTuple):
    """What became of one journal.

    Attributes:
        sent: records delivered by this call. delivered: records delivered so far, by any.
        error: why it stopped early, "" otherwise.
    """

    path: Path
    run: str = ""
    sent: int = 0
    delivered: int = 0
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the result in JSON's types."""
        return {**self._asdict(), "path": str(self.path)}

    def __str__(self) -> str:
        said = f"{self.run or self.path}: {self.sent:,} records sent, {self.delivered:,} delivered in all"
        return f"{said}; {self.error}" if self.error else said


def sync(
    paths: Iterable[Path | str] = (),
    progress: Progress | None = None,
    settings: ProducerSettings | None = None,
) -> list[SyncResult]:
    """Deliver the journals at `paths` (files, or folders searched for `*.journal`; none: STEPWELL_DIR).

    Errors of single journals are in their results; nothing is raised for a server that is away.
    """
    chosen = settings or ProducerSettings()
    journals = find_journals([Path(path) for path in paths] or [chosen.dir])
    return asyncio.run(_sync_all(journals, chosen, progress or _silent)) if journals else []


def _silent(name: str, done: int, total: int) -> None:
    del name, done, total


def find_journals(paths: Iterable[Path]) -> list[Path]:
    """Return the journal files at `paths`, oldest first, each once."""
    found = {file for path in paths for file in (path.rglob("*.journal") if path.is_dir() else [path])}
    return sorted(found, key=lambda file: (file.stat().st_mtime if file.exists() else 0.0, str(file)))


async def _sync_all(journals: list[Path], settings: ProducerSettings, progress: Progress) -> list[SyncResult]:
    try:
        found = await find_brokers(settings)
        producer = await open_producer(found)
    except NotConnectedError as error:
        return [SyncResult(path, error=f"{error}; {REMEDY}") for path in journals]
    try:
        return [await _sync_one(path, producer, found.events_topic, progress) for path in journals]
    finally:
        await producer.stop()


async def _sync_one(path: Path, producer: AIOKafkaProducer, topic: str, progress: Progress) -> SyncResult:
    try:
        with path.open("r+b") as file:
            data = mmap.mmap(file.fileno(), 0)
    except (OSError, ValueError) as error:
        return SyncResult(path, error=f"can't read {path}: {error}")
    try:
        info, start = read_header(data, str(path))
    except NotAJournalError as error:
        return SyncResult(path, error=str(error))
    run = f"{info.entity}/{info.project}/{info.run_id}"
    reader = Reader(check=True)
    reader.skip_to(data, start)
    reached = [start]

    def acknowledge(position: Position) -> None:
        reached[0] = position
        write_acknowledged(data, position)
        progress(path.name, position.offset, len(data))

    pump = Pump(producer, topic, info, reader, acknowledge)
    error_text = ""
    try:
        while await pump.send(data, len(data)):
            continue
        await pump.settle()
        progress(path.name, len(data), len(data))
        error_text = pump.refusal
    except KafkaError as error:
        error_text = f"{type(error).__name__}: {error}"
        pump.forget()
    return SyncResult(path, run, reached[0].sequence - start.sequence, reached[0].sequence, error_text)
