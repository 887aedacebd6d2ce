"""A folder in memory, for the files of the engine and of the broker that all tests of a process share.

Tables that tests fill and empty make and remove tens of thousands of small files. On ext4 without a journal, which
virtual machines may have, the kernel looks for inodes that were not deleted lately, for a tenth of the time of all
tests. Tests that restart a part, or fill its disk, have folders of their own, on a real file system.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stepwell_schemas.limits import MIB

MEMORY: Final = Path("/dev/shm")
"""A file system in memory, where the system has one."""

_LEAST_BYTES: Final = 2_048 * MIB


@contextmanager
def scratch_folder(otherwise: Path) -> Iterator[Path]:
    """Make a folder in memory for the block; without enough memory, or on other systems, yield the given folder."""
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < _LEAST_BYTES:
        yield otherwise
        return
    with tempfile.TemporaryDirectory(prefix="stepwell-tests-", dir=MEMORY, ignore_cleanup_errors=True) as name:
        yield Path(name)
