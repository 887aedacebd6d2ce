"""Journals that other runs left on this machine: a notice at the start of a run, and their delivery while it is idle.

A run delivers those of its own folder that were written for the same service by online sessions. It sends one part at
a time, and only when it has nothing of its own to send. Offline runs wait for `stepwell sync`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from stepwell.delivery.order import JournalEntry, find_sendable
from stepwell.errors import JournalError
from stepwell.journal import locks
from stepwell.journal.folders import remove_journal
from stepwell.journal.stored import StoredJournal
from stepwell.terminal import notify
from stepwell_schemas.limits import SEND_BATCH_BYTES

if TYPE_CHECKING:
    from stepwell.delivery.journal_file import JournalFile
    from stepwell.delivery.transport import Transport

_INGEST_SECONDS: Final = 60.0
_MEGABYTE: Final = 1_000_000


class Waiting(NamedTuple):
    """Journals of other runs without a live owner.

    Attributes:
        entries: the journals, delivered ones that were not removed yet included.
        journals, runs: the number of undelivered ones, and of their runs. bytes: size of what they hold.
    """

    entries: tuple[JournalEntry, ...]
    journals: int
    runs: int
    bytes: int

    def __str__(self) -> str:
        journals = f"{self.journals:,} journal" + ("s" if self.journals > 1 else "")
        runs = f"{self.runs:,} other run" + ("s" if self.runs > 1 else "")
        verb = "wait" if self.journals > 1 else "waits"
        return f"{journals} of {runs} {verb} for delivery, {max(self.bytes, 100_000) / _MEGABYTE:,.1f} MB"


def find_waiting(entries: Iterable[JournalEntry]) -> Waiting:
    """Return the journals without a live owner; reads headers and sizes only."""
    orphaned = [entry for entry in entries if locks.is_orphaned(entry.path)]
    sizes = {entry: _undelivered_bytes(entry.path) for entry in orphaned}
    undelivered = [entry for entry, size in sizes.items() if size]
    left = tuple(entry for entry, size in sizes.items() if size or not entry.info.keep)
    return Waiting(left, len(undelivered), len({entry.run for entry in undelivered}), sum(sizes.values()))


def _undelivered_bytes(path: Path) -> int:
    try:
        with StoredJournal(path) as journal:
            return journal.left_bytes(journal.acknowledged)
    except (OSError, JournalError):
        return 0


class _Current(NamedTuple):
    """The journal that is being delivered: its claim, its file and its remaining parts."""

    entry: JournalEntry
    lock: int
    file: JournalFile
    parts: AsyncGenerator[int]


class OtherRuns:
    """Delivers journals of other runs, part by part.

    Attributes:
        delivered: records delivered.
    """

    def __init__(self, entries: Iterable[JournalEntry], destination: str, *, quiet: bool) -> None:
        self._entries = [entry for entry in entries if entry.info.destination == destination and not entry.info.offline]
        self._quiet = quiet
        self._current: _Current | None = None
        self._removable: dict[Path, float] = {}
        self._journals = 0
        self.delivered = 0

    async def send_part(self, transport: Transport) -> bool:
        """Deliver the next part; return False if nothing is left to do now."""
        from stepwell.delivery.transport import TransportError

        self._remove_stored()
        if self._current is None:
            self._current = self._claim_next(transport)
        if self._current is None:
            return False
        current = self._current
        try:
            await anext(current.parts)
        except StopAsyncIteration:
            self._settle(current)
            await self.pause()
            self._report_end()
        except (TransportError, OSError) as error:
            await self.pause()
            self._give_up_lane(current.entry)
            notify(f"{current.entry.run}: {current.entry.path} can't be delivered now: {error}: stepwell sync")
        return True

    async def pause(self) -> None:
        """Give the claimed journal back; the next part continues after what is acknowledged."""
        current, self._current = self._current, None
        if current is not None:
            await current.parts.aclose()
            self.delivered += current.file.reached.sequence - current.file.start.sequence
            current.file.close()
            locks.release(current.lock)

    def _claim_next(self, transport: Transport) -> _Current | None:
        from stepwell.delivery.journal_file import JournalFile

        for entry in find_sendable(self._entries, ()):
            lock = locks.claim(entry.path, shared=False)
            if lock is None:
                # Another process delivers it, and what follows it.
                self._give_up_lane(entry)
                continue
            try:
                file = JournalFile(entry.path)
            except JournalError:  # delivered and removed in the meantime
                locks.release(lock)
                self._entries.remove(entry)
                continue
            return _Current(entry, lock, file, file.deliver_in_parts(transport, SEND_BATCH_BYTES))
        return None

    def _settle(self, current: _Current) -> None:
        from stepwell.delivery.journal_file import set_apart

        entry, file = current.entry, current.file
        self._entries.remove(entry)
        problem = set_apart(file)
        if problem:
            notify(f"{entry.run}: {problem}")
        elif file.info.keep:
            return
        elif file.reached == file.start:
            remove_journal(entry.path)
        else:
            self._journals += 1
            self._removable[entry.path] = time.monotonic() + _INGEST_SECONDS

    def _remove_stored(self) -> None:
        """Remove journals some time after their delivery: a resumed run finds its last step in them until then.

        Those that are left at the end are removed by the next session on this machine.
        """
        for path in [path for path, at in self._removable.items() if at <= time.monotonic()]:
            remove_journal(path)
            del self._removable[path]

    def _give_up_lane(self, entry: JournalEntry) -> None:
        lane = entry.run, entry.info.writer
        self._entries = [other for other in self._entries if (other.run, other.info.writer) != lane]

    def _report_end(self) -> None:
        if not self._entries and self.delivered and not self._quiet:
            notify(f"{self.delivered:,} records of {self._journals:,} journals of other runs were delivered")
