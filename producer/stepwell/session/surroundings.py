"""Surroundings of a process in which a training must continue: no working directory, closed standard files, a mask.

Nothing here raises. What can't be made usable is reported when it is used.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_STANDARD_FILES: Final = (0, 1, 2)


def absolute_folder(folder: Path) -> Path:
    """Return a folder's absolute path; unchanged if the working directory was deleted, so that it can't be created."""
    try:
        return folder.absolute()
    except OSError:
        return folder


def reserve_standard_files() -> None:
    """Open /dev/null in the place of closed standard files.

    Otherwise a journal or a connection would get their descriptors, and whatever prints in this process or in a
    subprocess would write into it.
    """
    for descriptor in _STANDARD_FILES:
        try:
            os.fstat(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                # The lowest number that is free, which is this one.
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
