"""The journal of a disabled run: a small piece of memory that is written over and over."""

from __future__ import annotations

import mmap
import threading
from pathlib import Path
from typing import Final

from stepwell.journal import HEADER_BYTES, START, Journal, JournalInfo
from stepwell_schemas.limits import MIB

_BYTES: Final = 2 * MIB


class ScratchJournal(Journal):
    """Takes records and keeps none; there is no file."""

    def __init__(self, info: JournalInfo) -> None:
        self.path = Path("/nonexistent/disabled")
        self.info = info
        self.lock = threading.RLock()
        self.map = mmap.mmap(-1, _BYTES)
        self.end = HEADER_BYTES
        self.limit = _BYTES
        self.sequence = self.dropped = self._layouts = 0
        self.acknowledged = START
        self.sender_alive = False

    def make_room(self, size: int) -> bool:
        """Begin again at the start."""
        self.end = HEADER_BYTES
        return self.limit > 0 and HEADER_BYTES + size + 8 <= _BYTES

    def close(self) -> None:
        """Take no more records."""
        self.limit = 0
