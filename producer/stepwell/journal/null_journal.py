"""No-op journal for disabled runs: it accepts records and stores none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stepwell.journal.format import HEADER_BYTES, JournalInfo
from stepwell.journal.journal import Journal
from stepwell.journal.row_layout import Layout
from stepwell.journal.storage import MemoryStorage
from stepwell_schemas.limits import MIB

_BYTES: Final = 2 * MIB


class NullJournal(Journal):
    """A journal that accepts records and stores none; there is no file."""

    def __init__(self, info: JournalInfo) -> None:
        super().__init__(Path("/nonexistent/disabled"), info, _BYTES, "drop")
        self.pwrite = _discard

    def _open_storage(self, path: Path, info: JournalInfo) -> MemoryStorage:
        del path
        return MemoryStorage(info)

    def make_room(self, size: int, layout: Layout | None = None) -> bool:
        """Accept a record of any size."""
        if self._closed:
            return False
        self.end = HEADER_BYTES
        self.limit = HEADER_BYTES + max(size, _BYTES)
        if layout is not None:
            layout.reserve = layout.record_bytes
        return True

    def append_all(self, bodies: Iterable[bytes], size: int) -> bool:
        """Accept files of any size and store none."""
        del bodies, size
        return not self._closed


def _discard(data: bytes, at: int) -> int:
    del at
    return len(data)
