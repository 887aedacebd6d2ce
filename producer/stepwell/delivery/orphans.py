"""Orphaned journals of earlier sessions of a run: find them, deliver them in order, and remove them.

A journal is orphaned if its process was killed, ended before it had delivered everything, or ran offline. Its owner's
lock is free then (`stepwell.journal.locks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from stepwell.errors import JournalError
from stepwell.journal import locks
from stepwell.journal.folders import quarantine, remove_journal
from stepwell.journal.format import JournalInfo
from stepwell.journal.liveness import WATCH
from stepwell.journal.stored import StoredJournal, read_journal_header
from stepwell.terminal import notify
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, parse_stream

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

_NAME_CHARS: Final = 64
FORK_MARK: Final = "fork-"


def safe_file_name(run_id: str) -> str:
    """Return a run id as part of a file name: short, and without characters special to file systems or shells."""
    safe = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in run_id)
    return safe[:_NAME_CHARS]


def fork_writer(writer: str, pid: int) -> str:
    """Return the writer name of a forked child."""
    return f"{writer}/{FORK_MARK}{pid}" if writer else f"{FORK_MARK}{pid}"


class Orphan(NamedTuple):
    """A journal without a live owner."""

    path: Path
    info: JournalInfo


def find_orphans(folder: Path, run: RunPath) -> list[Orphan]:
    """Return the orphaned journals of `run` in `folder`, oldest first; an empty list if there is no folder."""
    orphans = []
    for path in folder.glob(f"{safe_file_name(run.run_id)}-*.journal"):
        info = _read_info(path)
        if info is not None and RunPath(info.entity, info.project, info.run_id) == run and locks.is_orphaned(path):
            orphans.append(Orphan(path, info))
    return sorted(orphans, key=lambda orphan: (orphan.info.started, orphan.path.name))


def _read_info(path: Path) -> JournalInfo | None:
    try:
        return read_journal_header(path).info
    except (OSError, JournalError):
        return None


def last_logged_step(orphans: Iterable[Orphan]) -> int:
    """Return the highest step that these journals, oldest first, logged or started after; -1 for none.

    Journals of side streams are skipped: they count their own steps.
    """
    import numpy as np

    from stepwell.journal.reader import JsonRow, Reader, Rows
    from stepwell_schemas.rules.steps import resolve

    last = -1
    current: dict[str, int] = {}
    for path, info in orphans:
        if parse_stream(info.writer) != DEFAULT:
            continue
        # A session that has logged nothing still knows the step it started after.
        at, last = max(current.get(info.writer, 0), info.first_step), max(last, info.first_step - 1)
        try:
            with StoredJournal(path) as journal:
                # Rows that were delivered and deleted: the first segment that remains says the step after them.
                at = max([at, *(segment.info.step for segment in journal.segments()[:1])])
                last = max(last, at - 1)
                for item in Reader(check=True).read_all(journal):
                    if isinstance(item, Rows):
                        asked, commits = item.array["asked"].astype(np.int64), item.array["commit"].astype(np.int8)
                    elif isinstance(item, JsonRow):
                        asked, commits = np.array([item.row["s"]], np.int64), np.array([item.row["c"]], np.int8)
                    else:
                        continue
                    resolved = resolve(at, asked, commits, len(asked))
                    at, last = resolved.current, max(last, int(resolved.steps[-1]))
        except (OSError, JournalError):
            continue
        current[info.writer] = at
    return last


class Orphans:
    """Delivers orphaned journals of earlier sessions of a run, and of forked children of this one.

    Attributes:
        delivered: records delivered. problem: what could not be delivered, "" if everything was.
    """

    def __init__(self, folder: Path, run: RunPath, writer: str) -> None:
        self._folder = folder
        self._run = run
        self._writer = writer
        self._done: set[Path] = set()
        self.delivered = 0
        self.problem = ""

    @property
    def waiting(self) -> bool:
        """Return whether another host's journal is watched, until it is clear whether its process lives."""
        return WATCH.watches(self._folder)

    async def deliver(self, producer: AIOKafkaProducer, topic: str) -> None:
        """Deliver all orphans that exist now. Raises: aiokafka's KafkaError; a second call continues."""
        for orphan in find_orphans(self._folder, self._run):
            if orphan.path in self._done:
                continue
            # This writer's own rows must come after those of its earlier session, even if another process sends these.
            lock = locks.claim(orphan.path, shared=orphan.info.writer == self._writer)
            if lock is None:
                continue
            try:
                await self._deliver_one(orphan.path, producer, topic)
            finally:
                locks.release(lock)
            self._done.add(orphan.path)

    async def _deliver_one(self, path: Path, producer: AIOKafkaProducer, topic: str) -> None:
        from stepwell.delivery.journal_file import JournalFile

        try:
            file = JournalFile(path)
        except JournalError as error:
            self._report_problem(str(error))
            return
        with file:
            if file.done and file.info.keep:
                return
            try:
                await file.deliver(producer, topic)
            finally:
                self.delivered += file.reached.sequence - file.start.sequence
        # No notice for a child that only printed.
        if file.reached != file.start and not (FORK_MARK in file.info.writer and parse_stream(file.info.writer)):
            sent = file.reached.sequence - file.start.sequence
            notify(f"{self._run}: {sent:,} records of an earlier session or a forked process were delivered")
        if file.damage is not None:
            self._quarantine(path, str(file.damage))
        elif file.rejection:
            self._report_problem(file.rejection)
        elif not file.info.keep:
            remove_journal(path)

    def _quarantine(self, path: Path, damage: str) -> None:
        quarantined = quarantine(path)
        self._report_problem(f"the journal {path} is {damage}; it was renamed to {quarantined.name}")

    def _report_problem(self, problem: str) -> None:
        self.problem = problem
        notify(f"{self._run}: {problem}")
