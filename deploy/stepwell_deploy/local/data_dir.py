"""The data folder, which is locked by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from stepwell_deploy.errors import FolderInUseError

_LOCK_NAME: Final = "lock"
_PRIVATE: Final = 0o700
_SECRET: Final = 0o600
_OTHERS: Final = 0o077
_log = structlog.get_logger("stepwell.deploy")


@contextmanager
def locked_folder(folder: Path) -> Iterator[Path]:
    """Create a folder with private permissions, and lock it for this process.

    The lock belongs to the process, so the kernel releases it when the process ends, also when it is killed.

    Raises:
        FolderInUseError: naming the folder and the process that holds it.
    """
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    _make_private(folder)
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


def kept_secret(file: Path, make: Callable[[], str]) -> str:
    """Return the secret that a file keeps, made if the file is missing; only its owner may read it."""
    with suppress(FileNotFoundError):
        if secret := file.read_text("ascii").strip():
            return secret
    secret = make()
    written = file.with_suffix(".new")
    written.unlink(missing_ok=True)
    with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET), "w", encoding="ascii") as opened:
        opened.write(secret)
    written.replace(file)
    return secret


def _make_private(folder: Path) -> None:
    """Remove the permissions of other users from our folder; warn if the folder may be shared on purpose."""
    state = folder.stat()
    if not state.st_mode & _OTHERS:
        return
    # A folder with other things in it, such as a home or /tmp, may be shared on purpose.
    only_ours = (folder / _LOCK_NAME).exists() or not any(folder.iterdir())
    if state.st_uid == os.geteuid() and only_ours:
        folder.chmod(_PRIVATE)
        _log.info("data_folder_made_private", folder=str(folder))
    else:
        _log.warning("data_folder_open_to_others", folder=str(folder), mode=oct(state.st_mode & 0o777))
