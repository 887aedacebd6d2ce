"""The data folder belongs to one process at a time, and ports to whoever listens first."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stepwell_deploy.errors import FolderInUseError, PortInUseError

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


def claim_port(host: str, port: int, remedy: str) -> int:
    """Return `port` when nobody listens on it, a free one for 0. Raises: PortInUseError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PortInUseError(host, port, remedy) from None
        bound: int = probe.getsockname()[1]
        return bound
