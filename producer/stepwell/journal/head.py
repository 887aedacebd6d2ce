"""The file `head` of a journal: its identity, its lock, the acknowledged position and the heartbeat."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from stepwell.journal import locks
from stepwell.journal.format import (
    ACKNOWLEDGED_AT,
    HEAD_NAME,
    HEADER_BYTES,
    HEARTBEAT_AT,
    Heartbeat,
    JournalInfo,
    Position,
    build_header,
    pack_acknowledged,
    pack_heartbeat,
)
from stepwell.journal.permissions import create_file
from stepwell.journal.segments import write_all


class Head:
    """The head of a journal that is being written."""

    def __init__(self, folder: Path, info: JournalInfo) -> None:
        """Create the file, and lock it as its owner. Raises: OSError, JournalError."""
        header = build_header(info)
        path = folder / HEAD_NAME
        self._file = create_file(path)
        self._beats = 0
        self._lock: int | None = None
        try:
            write_all(self._file, header, 0)
        except OSError:
            self.close()
            raise
        self._lock = locks.lock_as_owner(path)

    @property
    def deleted(self) -> bool:
        """Return whether the file was deleted."""
        return self._file >= 0 and os.fstat(self._file).st_nlink == 0

    def acknowledge(self, position: Position) -> bool:
        """Store the acknowledged position; return False if the disk does not take it."""
        return self._write(pack_acknowledged(position), ACKNOWLEDGED_AT)

    def beat(self, records: int) -> None:
        """Store a heartbeat, with the number of records that are written."""
        self._beats += 1
        self._write(pack_heartbeat(Heartbeat(self._beats, records)), HEARTBEAT_AT)

    def _write(self, data: bytes, at: int) -> bool:
        # Bytes that exist are replaced. A copy-on-write file system needs space even for that: the old ones stay.
        with contextlib.suppress(OSError):
            return self._file >= 0 and os.pwrite(self._file, data, at) == len(data)
        return False

    def save(self, folder: Path) -> None:
        """Write the file again after it was deleted. Raises: OSError."""
        (folder / HEAD_NAME).write_bytes(os.pread(self._file, HEADER_BYTES, 0))

    def release(self, records: int) -> None:
        """Mark the journal as released, unlock it, and close the file."""
        self._write(pack_heartbeat(Heartbeat(self._beats + 1, records, released=True)), HEARTBEAT_AT)
        self.close()

    def close(self) -> None:
        """Unlock and close the file."""
        lock, self._lock = self._lock, None
        locks.release(lock)
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
