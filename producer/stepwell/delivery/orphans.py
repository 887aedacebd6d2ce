"""Orphaned journals of earlier sessions of a run: find them, deliver them in order, and remove them.

A journal is orphaned if its process was killed, ended before it had delivered everything, or ran offline. Its owner's
lock is free then (`stepwell.journal.locks`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stepwell.delivery.journal_folders import JournalFolders, read_position
from stepwell.delivery.order import JournalEntry, Patience, find_sendable, sort_key
from stepwell.errors import JournalError
from stepwell.journal import locks
from stepwell.journal.folders import remove_journal
from stepwell.journal.stored import StoredJournal
from stepwell.terminal import notify
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, main_writer, parse_stream

if TYPE_CHECKING:
    from stepwell.delivery.journal_file import JournalFile
    from stepwell.delivery.transport import Transport

_POLL_SECONDS: Final = 0.1
_ATTEMPTS: Final = 3
_ATTEMPT_SECONDS: Final = 0.02
_INGEST_SECONDS: Final = 60.0
"""Time for which a delivered journal stays: another process that resumes the run finds the last step in it, as long as
the service may not have stored it."""

FORK_MARK: Final = "fork-"


def fork_writer(writer: str, pid: int) -> str:
    """Return the writer name of a forked child."""
    return f"{writer}/{FORK_MARK}{pid}" if writer else f"{FORK_MARK}{pid}"


def find_orphans(folders: JournalFolders, run: RunPath) -> list[JournalEntry]:
    """Return the journals of `run` without a live owner, oldest first."""
    entries = folders.find_run(run)
    orphans = [entry for entry in entries if locks.is_orphaned(entry.path)]
    for _ in range(_ATTEMPTS):
        # Another process that claims a journal has it to itself for an instant, as a live owner would.
        others = [entry for entry in entries if entry not in orphans]
        if others:
            time.sleep(_ATTEMPT_SECONDS)
            orphans += [entry for entry in others if locks.is_orphaned(entry.path)]
    return sorted(orphans, key=lambda entry: sort_key(entry.info))


def last_logged_step(orphans: Iterable[JournalEntry]) -> int:
    """Return the highest step that these journals, oldest first, logged or started after; -1 for none.

    Journals of side streams are skipped: they count their own steps. Journals without a lineage, of earlier versions,
    continue the count of their writer.
    """
    from stepwell.journal.reader import Reader
    from stepwell_schemas.rules.steps import StepState

    last = -1
    writers: dict[str, StepState] = {}
    for path, info in orphans:
        if parse_stream(info.writer) != DEFAULT:
            continue
        # A session that has logged nothing still knows the step it started after.
        state = StepState(info.first_step)
        if not info.lineage:
            state = max(state, writers.get(info.writer, state))
        reader = Reader(check=True)
        reader.steps = state
        with contextlib.suppress(OSError, JournalError), StoredJournal(path) as journal:
            reader.skip_to_end(journal)
        state = reader.steps or state
        last = max(last, state.current if state.begun else state.current - 1)
        writers[info.writer] = max(state, writers.get(info.writer, state))
    return last


class Orphans:
    """Delivers orphaned journals of earlier sessions of a run, and of forked children of this one.

    A journal is sent when all older ones of its writer are settled. Each process takes the oldest that no other process
    delivers. It waits for the journals of its own writer only, since its own records come after them; each process
    waits for older journals only, so that none waits for another in a circle. Delivered journals stay for a while.

    Attributes:
        delivered: records delivered. problem: what could not be delivered, "" if everything was.
    """

    def __init__(
        self, folders: JournalFolders, run: RunPath, writer: str, wait_seconds: float, *, only_own: bool = False
    ) -> None:
        self._folders = folders
        self._run = run
        self._writer = writer
        self._only_own = only_own
        self._patience = Patience(wait_seconds)
        self._settled: set[Path] = set()
        self._removable: dict[Path, float] = {}
        self.delivered = 0
        self.problem = ""
        self._waiting = ""

    @property
    def error(self) -> str:
        """Reason why nothing is sent now, or what could not be delivered; "" if all is well."""
        return self._waiting or self.problem

    async def deliver(self, transport: Transport, *, wait: bool = False) -> None:
        """Deliver the orphans that exist now; `wait` until no older journal of this writer is left to other processes.

        Raises: TransportError; a second call continues.
        """
        self.remove_delivered(_INGEST_SECONDS)
        attempts = 0
        while True:
            live: set[Path] = set()
            while (claimed := self._claim_next(live)) is not None:
                entry, lock = claimed
                try:
                    await self._deliver_one(entry.path, transport)
                finally:
                    locks.release(lock)
                self._settled.add(entry.path)
            busy = self._sendable(live)
            own = [entry for entry in busy if self._is_own(entry)]
            attempts += 1
            # A lock is also taken for an instant to look at a journal: a single failure says nothing.
            if not wait or (not own and (attempts > _ATTEMPTS or not (busy or live))):
                self._waiting = ""
                return
            await self._wait_for(own, transport)

    def remove_delivered(self, age: float = 0.0) -> None:
        """Remove the journals that were delivered at least `age` seconds ago."""
        limit = time.monotonic() - age
        for path in [path for path, at in self._removable.items() if at <= limit]:
            remove_journal(path)
            del self._removable[path]

    def _is_own(self, entry: JournalEntry) -> bool:
        return main_writer(entry.info.writer) == self._writer

    def _sendable(self, live: set[Path]) -> list[JournalEntry]:
        entries = [entry for entry in self._folders.find_run(self._run) if not self._only_own or self._is_own(entry)]
        return find_sendable(entries, self._settled | live)

    def _claim_next(self, live: set[Path]) -> tuple[JournalEntry, int] | None:
        """Claim the oldest journal that may be sent and that no other process delivers; None if there is none.

        Sets `live` to the journals of live sessions: no other journal waits for them, since they ran concurrently.
        """
        # One that was live before may have ended since, and others have begun after that.
        live.clear()
        busy: set[Path] = set()
        while True:
            heads = [entry for entry in self._sendable(live) if entry.path not in busy]
            if not heads:
                return None
            for entry in heads:
                lock = locks.claim(entry.path, shared=False)
                if lock is not None:
                    return entry, lock
                if locks.is_orphaned(entry.path):
                    busy.add(entry.path)
                elif entry.path.exists():
                    live.add(entry.path)
                else:
                    self._settled.add(entry.path)

    async def _wait_for(self, own: list[JournalEntry], transport: Transport) -> None:
        """Wait a moment for other processes; deliver the journals on which they make no progress."""
        import asyncio

        for entry in own:
            self._waiting = f"waits for the older journal {entry.path}, which another process delivers"
            if self._patience.is_over(entry.path, read_position(entry.path).offset, time.monotonic()):
                await self._take_over(entry, transport)
        await asyncio.sleep(_POLL_SECONDS if own else _ATTEMPT_SECONDS)

    async def _take_over(self, entry: JournalEntry, transport: Transport) -> None:
        """Deliver a journal together with another process: records that are sent twice count once."""
        lock = locks.claim(entry.path, shared=True)
        if lock is None:
            self._report_problem(f"the older journal {entry.path} is in use: what this session logs is sent before it")
        else:
            notify(f"{self._run}: another process has stopped delivering {entry.path}: delivered here, too")
            try:
                await self._deliver_one(entry.path, transport)
            finally:
                locks.release(lock)
        self._settled.add(entry.path)

    async def _deliver_one(self, path: Path, transport: Transport) -> None:
        from stepwell.delivery.journal_file import set_apart

        file = self._open(path)
        if file is None:
            return
        with file:
            try:
                await file.deliver(transport)
            finally:
                self.delivered += file.reached.sequence - file.start.sequence
            problem = set_apart(file)
            if not problem and not file.info.keep:
                self._removable[path] = time.monotonic()
        # No notice for a child that only printed.
        if file.reached != file.start and not (FORK_MARK in file.info.writer and parse_stream(file.info.writer)):
            sent = file.reached.sequence - file.start.sequence
            notify(f"{self._run}: {sent:,} records of an earlier session or a forked process were delivered")
        if problem:
            self._report_problem(problem)

    def _open(self, path: Path) -> JournalFile | None:
        from stepwell.delivery.journal_file import JournalFile

        try:
            return JournalFile(path)
        except JournalError as error:
            if path.exists():  # otherwise another process has delivered and removed it
                self._report_problem(str(error))
            return None

    def _report_problem(self, problem: str) -> None:
        self.problem = problem
        notify(f"{self._run}: {problem}")
