"""No-op journal for disabled runs: a small buffer that is overwritten again and again."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stepwell.journal.format import HEADER_BYTES, JournalInfo
from stepwell.journal.journal import Journal
from stepwell_schemas.limits import MIB

_BYTES: Final = 2 * MIB


class NullJournal(Journal):
    """A journal that accepts records and stores none; there is no file."""

    def __init__(self, info: JournalInfo) -> None:
        super().__init__(Path("/nonexistent/disabled"), info, _BYTES, "drop")

    def _open(self) -> tuple[int, int | None]:
        return -1, None

    def _enlarge(self, size: int) -> mmap.mmap:
        del size
        self._size = _BYTES
        return mmap.mmap(-1, _BYTES)

    def make_room(self, size: int) -> bool:
        """Start again at the beginning of the buffer."""
        self.end = HEADER_BYTES
        return self.limit > 0 and HEADER_BYTES + size + 8 <= _BYTES

    def append_all(self, bodies: Iterable[bytes], size: int) -> bool:
        """Accept files of any size and store none."""
        del bodies, size
        return self.limit > 0

    @property
    def deleted(self) -> bool:
        """Return False: there is no file."""
        return False
