"""Advisory locks on journals: they tell the journal of a living session from one that its process left behind.

The owner holds an exclusive `flock` through a descriptor of its own, one that is never mapped: a mapping keeps a
duplicate, which would hold the lock for as long as a view of it lives. `flock` belongs to the open description, so
other descriptors of the file in the same process do not drop it (POSIX record locks would), and a forked child shares
it, which is why a child closes what it inherits. The kernel lets go of it with the process, however that ends.

Whoever delivers a journal left behind holds a shared lock meanwhile. Several may: events that are sent twice count
once. Only the next session of the same writer has a reason to, since its own records must come behind them.
Where the file system has no locks, no journal is ever taken for one left behind; `stepwell sync` delivers it.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

_held: Final[set[int]] = set()


def hold(path: Path) -> int | None:
    """Lock a journal as its owner and return the lock; None where the file system has no locks."""
    return _locked(path, fcntl.LOCK_EX)


def claim(path: Path, *, beside_others: bool) -> int | None:
    """Lock a journal that was left behind and return the lock.

    None when its owner lives, when it can't be opened, or, unless `beside_others`, when somebody delivers it already.
    """
    if beside_others:
        return _locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    lock = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        release(lock)
        return None
    return lock


def is_left_behind(path: Path) -> bool:
    """Whether a journal has no living owner."""
    lock = claim(path, beside_others=True)
    if lock is not None:
        release(lock)
    return lock is not None


def release(lock: int | None) -> None:
    """Let go of a lock."""
    if lock in _held:
        _held.discard(lock)
        os.close(lock)


def _locked(path: Path, operation: int) -> int | None:
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
