"""Claims of a session on what one process of a node has for itself: a writer's name, the machine, a GPU.

A claim is a `flock` on a file below the system's temporary folder, named after the run and what is claimed. The kernel
releases it when the process ends, so that another process takes over. Two processes that start at the same time can't
both have it. A worker of multiprocessing keeps its writer's name between its runs. Other hosts are not seen: a journal
there may belong to a process that has just been killed, whose successor must keep its name.

Where there is no such folder, everything is granted, as if there were no other process.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from stepwell.journal import locks
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.writers import number_writer

_FOLDER_PREFIX: Final = "stepwell_node_"
_NAMES_AT_MOST: Final = 1_000
_DIGEST_CHARS: Final = 32
_KEPT_AT_MOST: Final = 16
"""Claims that a process keeps after their session, a descriptor each; beyond them, the oldest is released."""

_kept: Final[dict[Path, tuple[int, int]]] = {}
"""Locks that this process keeps, each with the process that took it: a forked child has the table of its parent."""


class NodeClaims:
    """The claims of a session, held until `release` or the end of the process."""

    def __init__(self, run: RunPath, destination: str) -> None:
        self._prefix = f"{destination}\0{run}\0"
        self._folder = _open_folder()
        self._held: dict[str, tuple[int, Path]] = {}
        self._lasting = ""
        self._pid = os.getpid()

    def claim_writer(self, writer: str) -> str:
        """Claim a writer's name; return it, or the first name with a number that no living process of this node has."""
        for number in range(1, _NAMES_AT_MOST):
            name = number_writer(writer, number)
            if self.owns_writer(name):
                return name
        return writer

    def owns_writer(self, writer: str) -> bool:
        """Return whether this session has a writer's name, as `owns` does."""
        return self.owns(f"writer/{writer}")

    def owns(self, what: str) -> bool:
        """Return whether this session has the claim; takes it if no living process of this node has it."""
        if self._folder is None or what in self._held:
            return True
        path = self._path(self._folder, what)
        try:
            lock = _kept.pop(path)[0] if self._keeps(path) else _lock(path)
        except OSError:
            return True
        if lock is None:
            return False
        self._held[what] = (lock, path)
        return True

    def is_held_elsewhere(self, what: str) -> bool:
        """Return whether another session of this node has a claim."""
        if self._folder is None or what in self._held:
            return False
        path = self._path(self._folder, what)
        lock = locks.try_lock(path)
        if lock is not None:
            locks.release(lock)
        return lock is None and path.exists()

    def has_had_writer(self, writer: str) -> bool:
        """Return whether an earlier session of this process has had a writer's name, and kept it."""
        return self._folder is not None and self._keeps(self._path(self._folder, f"writer/{writer}"))

    def keep_writer(self, writer: str) -> None:
        """Claim a writer's name, also for later sessions of this process: `release` keeps it."""
        self._lasting = f"writer/{writer}"
        self.owns(self._lasting)

    def release(self) -> None:
        """Release all claims, except for the one that is kept.

        In a forked child this does nothing: they are its parent's.
        """
        if self._pid != os.getpid():
            return
        for what, (lock, path) in self._held.items():
            if what == self._lasting:
                _kept[path] = lock, self._pid
            else:
                _release(lock, path)
        self._held.clear()
        release_kept(_KEPT_AT_MOST)

    def _path(self, folder: Path, what: str) -> Path:
        return folder / hashlib.sha256(f"{self._prefix}{what}".encode()).hexdigest()[:_DIGEST_CHARS]

    def _keeps(self, path: Path) -> bool:
        return _kept.get(path, (0, 0))[1] == self._pid


def release_kept(at_most: int = 0) -> None:
    """Release the claims that this process keeps, except for the latest ones."""
    own = [path for path, (_, pid) in _kept.items() if pid == os.getpid()]
    for path in own[: max(len(own) - at_most, 0)]:
        _release(_kept.pop(path)[0], path)


def _release(lock: int, path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
    locks.release(lock)


def _lock(path: Path) -> int | None:
    """Create and lock a file; None if another process has it. Raises: OSError."""
    while True:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        lock = locks.try_lock(path)
        if lock is None:
            return None
        # Its owner may have removed the file in the meantime, which leaves the lock to this process alone.
        if os.fstat(lock).st_nlink:
            return lock
        locks.release(lock)


def _open_folder() -> Path | None:
    """Return this user's folder of claims, created if needed; None if it can't be had, or belongs to another user."""
    try:
        folder = Path(tempfile.gettempdir()) / f"{_FOLDER_PREFIX}{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    return folder if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() else None
