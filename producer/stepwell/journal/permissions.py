"""Creation of journals: their owner may use them, whatever the mask of the process takes away."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600


def create_folder(path: Path, *, exist_ok: bool = False) -> None:
    """Create a folder, and its parents where they are missing. Raises: OSError."""
    if not path.parent.exists():
        create_folder(path.parent, exist_ok=True)
    path.mkdir(exist_ok=exist_ok)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        # A folder that exists may belong to another user.
        with contextlib.suppress(PermissionError):
            path.chmod(mode | stat.S_IRWXU)


def create_file(path: Path) -> int:
    """Create a file for reading and writing, and return its descriptor. Raises: OSError, also if the file exists."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with contextlib.suppress(OSError):  # file systems without permissions
        os.fchmod(file, FILE_MODE)
    return file
