"""The journal: an append-only series of segments with everything that a session logged.

A record is in the kernel's page cache when `log()` returns, so it survives a SIGKILL of the process. The sender and
`stepwell sync` read it; `stepwell.journal.format` describes its files. Segments are deleted when their records are
acknowledged, so the disk holds what is not delivered, and at most one segment more.

A write that finds no room is an error code and never a signal: records are written by `pwrite`, and nothing is mapped.
The size bound applies to bytes that are not acknowledged yet. If the folder is deleted, the data stay readable while
the process lives. A forked child never writes to its parent's journal: it opens one of its own.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from stepwell.errors import JournalError
from stepwell.journal.appending import Appender, fail_to_write
from stepwell.journal.format import JournalInfo, Position
from stepwell.journal.heartbeat import HEART
from stepwell.journal.room import FullPolicy
from stepwell.journal.segments import Segment
from stepwell.journal.storage import FileStorage, MemoryStorage
from stepwell_schemas.limits import MIB, SEGMENT_MAX_BYTES, SEGMENT_MIN_BYTES

_LAST_EVENT_BYTES: Final = MIB
_LOCK_WAIT_SECONDS: Final = 0.05


class Journal(Appender):
    """A journal that is being written. All methods are thread-safe; `Appender` has its attributes."""

    def __init__(
        self,
        path: Path,
        info: JournalInfo,
        max_bytes: int,
        when_full: FullPolicy,
        segment_bytes: tuple[int, int] = (SEGMENT_MIN_BYTES, SEGMENT_MAX_BYTES),
    ) -> None:
        """Create the files; `segment_bytes` are the least and the greatest size of a segment. Raises: JournalError."""
        try:
            storage = self._open_storage(path, info)
        except OSError as error:
            raise JournalError(f"can't create the journal {path}: {error.strerror}") from error
        super().__init__(path, storage, max_bytes, when_full, segment_bytes)
        if isinstance(storage, FileStorage):
            with contextlib.suppress(RuntimeError):  # without a thread for it, no other host ever claims the journal
                HEART.add(self)
                storage.beat(0)

    def _open_storage(self, path: Path, info: JournalInfo) -> MemoryStorage:
        """Return the journal's storage with its first segment. Raises: OSError, JournalError."""
        return FileStorage(path, info)

    def acknowledge(self, position: Position) -> None:
        """Store that everything before `position` was delivered, and delete the segments that hold nothing else.

        Called by the only sender, without the lock.
        """
        self.acknowledged = position
        stored = self._storage.acknowledge(position)
        if self._storage.remove_before(position.offset):
            self._try_again_at = 0.0
            if not stored:
                self._storage.acknowledge(position)  # a full disk that copies on write has room again

    def keep_damaged(self, names: Iterable[str]) -> None:
        """Keep segments that could not be read in full after delivery."""
        self._storage.keep_damaged(names)

    def begin_segment_next(self) -> None:
        """Write further records to a new segment, since the last one can't be read."""
        self._rotation_wanted = True
        self.limit = 0

    def settled_end(self) -> int:
        """Return the offset up to which everything is written; 0 if a call that is waiting for room holds the lock."""
        if not self.lock.acquire(timeout=_LOCK_WAIT_SECONDS):
            return 0
        try:
            return self.end
        finally:
            self.lock.release()

    def segments(self) -> Sequence[Segment]:
        """Return the segments that exist now, in order."""
        return self._storage.segments

    def known_records(self) -> int:
        """Return the number of records."""
        return self.sequence

    def beat(self) -> None:
        """Show other hosts that this process lives, and say how many records it has written."""
        if not self.lock.acquire(timeout=_LOCK_WAIT_SECONDS):
            return
        try:
            self._storage.beat(self.sequence)
            if not self._storage.is_intact():
                self.begin_segment_next()
        finally:
            self.lock.release()

    def stop_waiting(self) -> None:
        """Prepare for the end: `log()` no longer waits for room, and the last event may exceed the bound."""
        self._when_full = "drop"
        self._max_bytes += _LAST_EVENT_BYTES
        self._try_again_at = 0.0

    def close(self) -> None:
        """Reject further records. Until `release()`, records stay readable and the journal stays locked."""
        self._closed = True
        with self.lock:
            self.limit = 0

    @property
    def deleted(self) -> bool:
        """Return whether the journal was deleted; its records remain readable."""
        return self._storage.deleted

    def save(self) -> None:
        """Write the journal to its path again after it was deleted. Raises: OSError."""
        self._storage.save()

    def remove(self) -> None:
        """Delete the journal, except damaged segments."""
        self._storage.remove()

    def release(self) -> None:
        """Close and unlock the journal, so that other processes may deliver it."""
        self.close()
        HEART.remove(self)
        with self.lock:
            self.pwrite = fail_to_write
            self._storage.release(self.sequence)

    def abandon_in_child(self) -> None:
        """In a forked child: never write here again, and replace the lock, which no thread of the child can release."""
        self.lock = threading.RLock()
        self.sender_alive = False
        self._closed = True
        self.limit = 0
        self.pwrite = fail_to_write
        self._storage.close()


class MemoryJournal(Journal):
    """A journal in memory, for when no folder is writable: delivered like any other, lost with the process."""

    def _open_storage(self, path: Path, info: JournalInfo) -> MemoryStorage:
        del path
        return MemoryStorage(info)
