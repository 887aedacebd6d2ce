"""Delivering journals later: offline runs, and what a run could not send.

Resumable and idempotent (see `delivery`); safe on the journal of a run that is still logging, which simply has more
records the next time. The journals of a run are delivered in the order of their sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stepwell.delivery.connection import REMEDY, find_brokers, open_producer
from stepwell.delivery.journal_file import JournalFile, Progress, silent
from stepwell.errors import JournalError, NotConnectedError
from stepwell.journal import locks
from stepwell.settings import ProducerSettings


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
    return asyncio.run(_sync_all(journals, chosen, progress or silent)) if journals else []


def find_journals(paths: Iterable[Path]) -> list[Path]:
    """Return the journal files at `paths`, the oldest session first, each once; what is no journal comes last."""
    found = {file for path in paths for file in (path.rglob("*.journal") if path.is_dir() else [path])}
    return sorted(found, key=lambda file: (_started(file), str(file)))


def _started(path: Path) -> float:
    """Return when the session began. The file's own times would not do: delivering it changes them."""
    try:
        with JournalFile(path) as file:
            return file.info.started
    except JournalError:
        return float("inf")


async def _sync_all(journals: list[Path], settings: ProducerSettings, progress: Progress) -> list[SyncResult]:
    try:
        found = await find_brokers(settings)
        producer = await open_producer(found)
    except NotConnectedError as error:
        return [SyncResult(path, error=f"{error}; {REMEDY}") for path in journals]
    try:
        results: list[SyncResult] = []
        broken = ""
        for path in journals:
            # What could not be sent to the end must not be overtaken by a later session of the same run.
            if broken:
                results.append(SyncResult(path, error=f"not tried after: {broken}"))
                continue
            result, broken = await _sync_one(path, producer, found.events_topic, progress)
            results.append(result)
        return results
    finally:
        await producer.stop()


async def _sync_one(path: Path, producer: AIOKafkaProducer, topic: str, progress: Progress) -> tuple[SyncResult, str]:
    """Return what became of a journal, and why the brokers take nothing more, "" while they do."""
    lock = locks.claim(path, beside_others=True)
    try:
        with JournalFile(path) as file:
            broken = ""
            try:
                await file.deliver(producer, topic, progress)
            except KafkaError as error:
                broken = f"{type(error).__name__}: {error}"
            # A living session writes on while it is read: what looks damaged is its next record.
            damage = f"the journal {path} is {file.damage}" if file.damage is not None and lock is not None else ""
            run = f"{file.info.entity}/{file.info.project}/{file.info.run_id}"
            sent = file.reached.sequence - file.start.sequence
            return SyncResult(path, run, sent, file.reached.sequence, broken or damage or file.refusal), broken
    except JournalError as error:
        return SyncResult(path, error=str(error)), ""
    finally:
        locks.release(lock)
