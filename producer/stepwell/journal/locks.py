"""Locks on journals: distinguish the journal of a live session from an orphaned one.

The owner holds an exclusive `flock` on the journal's head (a journal in one file: on that). A `flock` belongs to the
open file description. So other descriptors of the file in the same process do not drop it (POSIX record locks would),
and a forked child shares it, which is why a child closes the descriptors that it inherits. The kernel releases it when
the process ends. Another host may not see it: `stepwell.journal.liveness` decides then.

A process that delivers an orphaned journal holds a shared lock meanwhile. Several may do so: events that are sent
twice count once. Only the next session of the same writer needs it exclusively first, since its own records must come
after them. If the file system has no locks, no journal is considered orphaned; `stepwell sync` delivers it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Final

from stepwell.errors import JournalError
from stepwell.journal import owner
from stepwell.journal.folders import lock_file
from stepwell.journal.liveness import WATCH, Surroundings, is_abandoned
from stepwell.journal.stored import read_journal_header

_held: Final[set[int]] = set()


def lock_as_owner(head: Path) -> int | None:
    """Lock a journal's head as its owner and return the lock; None if the file system has no locks."""
    return _lock(head, fcntl.LOCK_EX)


def try_lock(path: Path) -> int | None:
    """Lock a file that is no journal, and return the lock; None if another descriptor has it locked."""
    return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


def claim(path: Path, *, shared: bool) -> int | None:
    """Lock an orphaned journal for delivery and return the lock.

    Returns None if its owner lives or may live, if it can't be opened, or, unless `shared`, if another process delivers
    it.
    """
    lock = _claim(lock_file(path), shared=shared)
    if lock is not None and not _is_abandoned(path):
        release(lock)
        return None
    return lock


def _claim(head: Path, *, shared: bool) -> int | None:
    if shared:
        return _lock(head, fcntl.LOCK_SH | fcntl.LOCK_NB)
    lock = _lock(head, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        release(lock)
        return None
    return lock


def is_orphaned(path: Path) -> bool:
    """Return whether a journal has no live owner."""
    lock = claim(path, shared=True)
    if lock is not None:
        release(lock)
    return lock is not None


def _is_abandoned(path: Path) -> bool:
    """Return whether a journal whose lock is free has no live owner."""
    try:
        header = read_journal_header(path)
    except (OSError, JournalError):
        return True  # delivery says what is wrong with it
    info, heartbeat = header.info, header.heartbeat
    unchanged = WATCH.observe(path, heartbeat, time.monotonic())
    around = Surroundings(
        socket.gethostname(), owner.read_boot_id(), owner.is_running(info), owner.is_local(path), unchanged
    )
    abandoned = is_abandoned(info, heartbeat, around)
    if abandoned:
        WATCH.forget(path)
    return abandoned


def release(lock: int | None) -> None:
    """Release a lock."""
    if lock in _held:
        _held.discard(lock)
        os.close(lock)


def _lock(path: Path, operation: int) -> int | None:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        try:
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
    try:
        fcntl.flock(lock, operation)
    except OSError:
        os.close(lock)
        return None
    _held.add(lock)
    return lock


def _release_in_child() -> None:
    for lock in list(_held):
        release(lock)


os.register_at_fork(after_in_child=_release_in_child)
