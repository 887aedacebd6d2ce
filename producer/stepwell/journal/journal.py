"""The journal: an append-only, memory-mapped file of everything that a session logged.

A record is in the kernel's page cache when `log()` returns, so it survives a SIGKILL of the process. The sender and
`stepwell sync` read the file; `stepwell.journal.format` describes its format.

The size bound applies to bytes that are not acknowledged yet. Disk blocks are allocated before they are written, so
that a full disk is an error code here and not a SIGBUS. If the folder is deleted, the data stay readable while the
process lives. A forked child never writes to the mapping of its parent: it opens a journal of its own.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import threading
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

from stepwell.errors import JournalError
from stepwell.journal import locks
from stepwell.journal.format import (
    FIRST_LAYOUT_TAG,
    HEADER_BYTES,
    RECORD_HEAD,
    START,
    TAG,
    TAG_LAYOUT,
    JournalInfo,
    Position,
    write_acknowledged,
    write_header,
)
from stepwell.journal.row_layout import Layout
from stepwell.terminal import notify
from stepwell_schemas.limits import KIB, MIB

_FIRST_BYTES: Final = MIB
_GROW_BYTES: Final = 64 * MIB
_LEAST_GROW_BYTES: Final = 64 * KIB
_BLOCK_POLL_SECONDS: Final = 0.01
_FULL_DISK_POLL_SECONDS: Final = 1.0
_LAST_EVENT_BYTES: Final = MIB
_pack_head = RECORD_HEAD.pack_into
_crc32 = zlib.crc32

FullPolicy = Literal["block", "drop"]


class Journal:
    """A journal that is being written. All methods are thread-safe.

    Attributes:
        lock: held during an append. Reentrant: a signal handler may log while the main thread is inside `log()`; a
            plain lock would deadlock there.
        end: the offset after the last record. sequence: the number of the next record.
        dropped: records dropped at the size bound or on a full disk. problem: the reason, "" if none was dropped.
    """

    def __init__(self, path: Path, info: JournalInfo, max_bytes: int, when_full: FullPolicy) -> None:
        """Create the file. Raises: JournalError."""
        self.path = path
        self.info = info
        self.lock = threading.RLock()
        self.end = HEADER_BYTES
        self.sequence = 0
        self.dropped = 0
        self.problem = ""
        self.acknowledged = START
        self.sender_alive = False
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._layouts = 0
        self._owner: int | None = None
        self._size = 0
        self._grow_again_at = 0.0
        self._file = -1
        self.limit = 0
        try:
            self._file, self._owner = self._open()
            self.map = self._enlarge(_FIRST_BYTES)
            write_header(self.map, info)
        except OSError as error:
            self._discard()
            raise JournalError(f"can't create the journal {path}: {error.strerror}") from error
        except JournalError:
            self._discard()
            raise
        self.limit = self._size

    def _open(self) -> tuple[int, int | None]:
        """Return the file's descriptor, and the lock that marks its owner as alive. Raises: OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), locks.lock_as_owner(
            self.path
        )

    def _discard(self) -> None:
        """Remove what is left of a journal that could not be created."""
        created = self._file >= 0
        self.release()
        if created:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _enlarge(self, size: int) -> mmap.mmap:
        os.posix_fallocate(self._file, self._size, size - self._size)
        self._size = size
        return mmap.mmap(self._file, size)

    def append(self, body: bytes) -> bool:
        """Append a numbered record; return False if it was dropped. The caller holds the lock."""
        size = len(body) + 8
        if self.end + size + 8 > self.limit and not self.make_room(size):
            return False
        crc = _crc32(body, size)
        start = self.end
        # Signal safety. CPython runs signal handlers on the main thread after calls and at backward jumps, and the
        # reentrant lock lets a handler that logs in here. So the space is reserved (`end`, `sequence`) before it is
        # filled: a handler reserves the space after it. And there is no call between reservation and copy, so that
        # an exception out of a handler (KeyboardInterrupt) never leaves a reserved record without content. The head,
        # whose length makes the bytes a record, is written last.
        self.end = start + size
        self.sequence += 1
        self.map[start + 8 : start + size] = body
        _pack_head(self.map, start, size, crc)
        return True

    def append_json(self, tag: int, value: Any) -> bool:
        """Append a row or an event as JSON; return False if it was dropped."""
        body = TAG.pack(tag) + json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogatepass")
        with self.lock:
            return self.append(body)

    def append_all(self, bodies: Iterable[bytes], size: int) -> bool:
        """Append all of several records, `size` bytes at most in total, or none; a drop counts as one record."""
        with self.lock:
            return self.make_room(size) and all(self.append(body) for body in bodies)

    def define(self, keys: tuple[str, ...], codes: str) -> Layout | None:
        """Append a layout's definition and return the layout; None if there was no room for it."""
        with self.lock:
            layout = Layout(FIRST_LAYOUT_TAG + self._layouts, keys, codes)
            text = json.dumps({"tag": layout.tag, "keys": keys, "codes": codes}).encode("utf-8", "surrogatepass")
            if not self.append(TAG.pack(TAG_LAYOUT) + text):
                self.dropped -= 1  # not a record; the row that needs it is counted when it finds no room either
                return None
            self.sequence -= 1
            self._layouts += 1
            return layout

    def make_room(self, size: int) -> bool:
        """Make room for a record; return False if it has to be dropped. The caller holds the lock."""
        if self.limit == 0:
            self.dropped += 1
            return False
        bounded = self.end + size - self.acknowledged.offset > self._max_bytes
        if bounded and (size > self._max_bytes or not self._wait_for_room(size)):
            return self._drop(f"the journal has reached its bound of {self._max_bytes:,} undelivered bytes")
        if self.end + size + 8 > self._size and not self._grow(size):
            return False
        self._set_limit()
        return True

    def _grow(self, size: int) -> bool:
        """Enlarge the file, by the minimum if the disk has no more; return False if the disk is full."""
        error: OSError | None = None
        least = self.end + size + 8
        if time.monotonic() >= self._grow_again_at:
            for grown in (max(min(2 * self._size, self._size + _GROW_BYTES), least + _FIRST_BYTES), least):
                try:
                    # A new mapping, not a resize: readers may still hold views of the old one.
                    self.map = self._enlarge(-(-grown // _LEAST_GROW_BYTES) * _LEAST_GROW_BYTES)
                    return True
                except OSError as failed:
                    error = failed
            self._grow_again_at = time.monotonic() + _FULL_DISK_POLL_SECONDS
        return self._drop(f"{self.path} can't grow: {error.strerror}" if error else self.problem)

    def _drop(self, problem: str) -> bool:
        self.dropped += 1
        if not self.problem:
            self.problem = problem
            notify(
                f"{self.info.run_id}: {problem}; training continues, rows are dropped and counted until there is room"
            )
        return False

    def _wait_for_room(self, size: int) -> bool:
        """Wait for room while a sender is alive; without one the wait would never end."""
        while self._when_full == "block" and self.sender_alive and self.limit:
            time.sleep(_BLOCK_POLL_SECONDS)
            if self.end + size - self.acknowledged.offset <= self._max_bytes:
                return True
        return False

    def _set_limit(self) -> None:
        self.limit = min(self._size, self.acknowledged.offset + self._max_bytes)

    def acknowledge(self, position: Position) -> None:
        """Store that everything before `position` was delivered. Called by the only sender, without the lock."""
        self.acknowledged = position
        write_acknowledged(self.map, position)

    def stop_waiting(self) -> None:
        """Prepare for the end: `log()` no longer waits for room, and the last event may exceed the bound."""
        self._when_full = "drop"
        self._max_bytes += _LAST_EVENT_BYTES

    def close(self) -> None:
        """Reject further records. Until `release()`, records stay readable and the file stays locked."""
        with self.lock:
            self.limit = 0

    @property
    def deleted(self) -> bool:
        """Return whether the file was deleted; the mapped data remain."""
        return self._file >= 0 and os.fstat(self._file).st_nlink == 0

    def save(self) -> None:
        """Write the journal to its path again after it was deleted. Raises: OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch(0o600)
        self.path.write_bytes(memoryview(self.map)[: self.end])

    def release(self) -> None:
        """Close and unlock the file, so that other processes may deliver it. The mapped data stay readable."""
        with self.lock:
            self.limit = 0
            locks.release(self._owner)
            self._owner = None
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def abandon_in_child(self) -> None:
        """In a forked child: never write here again, and replace the lock, which no thread of the child can release."""
        self.lock = threading.RLock()
        self.sender_alive = False
        self.release()


class MemoryJournal(Journal):
    """A journal in memory, for when no folder is writable: delivered like any other, lost with the process."""

    def _open(self) -> tuple[int, int | None]:
        return os.memfd_create(self.info.session), None

    @property
    def deleted(self) -> bool:
        """Return False: there is no file."""
        return False
