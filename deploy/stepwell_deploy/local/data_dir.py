"""The data folder, which belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepwell_deploy.errors import FolderInUseError

_LOCK_NAME = "lock"


@contextmanager
def locked_folder(folder: Path) -> Iterator[Path]:
    """Make a folder and hold it for this process; the kernel lets go of it when the process dies.

    Raises:
        FolderInUseError: naming the folder and the process that holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_NAME).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise FolderInUseError(folder, lock.read().strip() or "unknown") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield folder
