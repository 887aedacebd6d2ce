"""Delivery of journals afterwards: of offline runs, and of data that a run could not send.

Resumable and idempotent (see `stepwell.delivery.journal_file`). Safe for the journal of a live run: a later call sends
its further records. The journals of a run are delivered in the order of their sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stepwell.delivery.connection import REMEDY, find_brokers, open_producer
from stepwell.delivery.journal_file import JournalFile, Progress, no_progress
from stepwell.errors import JournalError, NotConnectedError
from stepwell.journal import folders, locks
from stepwell.settings import ProducerSettings


class SyncResult(NamedTuple):
    """Result of the delivery of one journal.

    Attributes:
        sent: records delivered by this call. delivered: records delivered in total.
        error: reason why delivery stopped early, "" if it did not.
    """

    path: Path
    run: str = ""
    sent: int = 0
    delivered: int = 0
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {**self._asdict(), "path": str(self.path)}

    def __str__(self) -> str:
        line = f"{self.run or self.path}: {self.sent:,} records sent, {self.delivered:,} delivered in total"
        return f"{line}; {self.error}" if self.error else line


def sync(
    paths: Iterable[Path | str] = (),
    progress: Progress | None = None,
    settings: ProducerSettings | None = None,
) -> list[SyncResult]:
    """Deliver the journals at `paths`, or in folders there that are searched for `*.journal`; default: STEPWELL_DIR.

    Errors, unreachable servers included, are reported in the results and not raised.
    """
    chosen = settings or ProducerSettings()
    journals = find_journals([Path(path) for path in paths] or [chosen.dir])
    return asyncio.run(_sync_all(journals, chosen, progress or no_progress)) if journals else []


def find_journals(paths: Iterable[Path]) -> list[Path]:
    """Return the distinct journals at `paths`, the oldest session first; other files come last."""
    return sorted(folders.find_journals(paths), key=lambda journal: (_started(journal), str(journal)))


def _started(path: Path) -> float:
    """Return the start of the session. The file's own times are no substitute: delivery changes them."""
    try:
        with JournalFile(path) as file:
            return file.info.started
    except JournalError:
        return float("inf")


async def _sync_all(journals: list[Path], settings: ProducerSettings, progress: Progress) -> list[SyncResult]:
    try:
        connected = await find_brokers(settings)
        producer = await open_producer(connected)
    except NotConnectedError as error:
        return [SyncResult(path, error=f"{error}; {REMEDY}") for path in journals]
    try:
        results: list[SyncResult] = []
        broken = ""
        for path in journals:
            # A later session of the same run must not overtake one that was not delivered in full.
            if broken:
                results.append(SyncResult(path, error=f"skipped after: {broken}"))
                continue
            result, broken = await _sync_one(path, producer, connected.events_topic, progress)
            results.append(result)
        return results
    finally:
        await producer.stop()


async def _sync_one(path: Path, producer: AIOKafkaProducer, topic: str, progress: Progress) -> tuple[SyncResult, str]:
    """Return the result for a journal, and the error of the brokers, "" if they still accept events."""
    lock = locks.claim(path, shared=True)
    try:
        with JournalFile(path) as file:
            broken = ""
            try:
                await file.deliver(producer, topic, progress)
            except KafkaError as error:
                broken = f"{type(error).__name__}: {error}"
            # A live session keeps writing: an apparently damaged record at the end is its next one.
            damage = f"the journal {path} is {file.damage}" if file.damage is not None and lock is not None else ""
            run = f"{file.info.entity}/{file.info.project}/{file.info.run_id}"
            sent = file.reached.sequence - file.start.sequence
            return SyncResult(path, run, sent, file.reached.sequence, broken or damage or file.rejection), broken
    except JournalError as error:
        return SyncResult(path, error=str(error)), ""
    finally:
        locks.release(lock)
