"""Storage of a journal that is being written: its head and its segments, in a folder or in memory."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stepwell.errors import JournalError
from stepwell.journal.folders import quarantine, remove_journal
from stepwell.journal.format import MAGIC, JournalInfo, Position, SegmentInfo
from stepwell.journal.head import Head
from stepwell.journal.owner import sign
from stepwell.journal.permissions import create_folder
from stepwell.journal.segments import FileSegment, MemorySegment, WritableSegment
from stepwell_schemas.limits import MIB

_NEW_SUFFIX: Final = ".new"


class MemoryStorage:
    """Segments in memory; there is no head, since no other process reads it.

    Attributes:
        segments: the segments that exist, in order. A tuple that is replaced, so that readers need no lock; the journal
            adds to its end.
    """

    def __init__(self, info: JournalInfo) -> None:
        self.info = info
        self.segments: tuple[WritableSegment, ...] = (MemorySegment(info, SegmentInfo(step=info.first_step)),)
        # Not the journal's own lock: `log()` holds that one while it waits for the sender, which deletes segments.
        self._lock = threading.RLock()

    def create(self, start: SegmentInfo) -> WritableSegment:
        """Create a segment, not yet among `segments`. Raises: OSError, JournalError."""
        return MemorySegment(self.info, start)

    def remove_before(self, offset: int) -> bool:
        """Remove the segments that end at an offset or before it, except the last one; return whether any was."""
        with self._lock:
            count = sum(following.info.base <= offset for following in self.segments[1:])
            self._remove_first(count)
        return count > 0

    def remove_all(self) -> None:
        """Remove all segments."""
        with self._lock:
            self._remove_first(len(self.segments))

    def _remove_first(self, count: int) -> None:
        removed, self.segments = self.segments[:count], self.segments[count:]
        for segment in removed:
            with contextlib.suppress(OSError):
                self._remove_one(segment)

    def _remove_one(self, segment: WritableSegment) -> None:
        segment.remove()

    def acknowledge(self, position: Position) -> bool:
        """Store the acknowledged position; return False if the disk does not take it."""
        del position
        return True

    def beat(self, records: int) -> None:
        """Store a heartbeat, with the number of records that are written."""

    def is_intact(self) -> bool:
        """Return whether the last segment has its header; a truncated file has not."""
        return True

    @property
    def deleted(self) -> bool:
        """Return whether the files were deleted; records remain readable."""
        return False

    def keep_damaged(self, names: Iterable[str]) -> bool:
        """Keep segments that could not be read in full; return whether any of them is new."""
        del names
        return False

    def save(self) -> None:
        """Write the files again after they were deleted. Raises: OSError."""

    def remove(self) -> None:
        """Remove everything, except damaged segments."""
        self.remove_all()

    def release(self, records: int) -> None:
        """Close and unlock the files, so that other processes may deliver them."""
        del records

    def close(self) -> None:
        """Close the files without a trace, in a forked child."""


class FileStorage(MemoryStorage):
    """A folder with the head and the segments."""

    def __init__(self, path: Path, info: JournalInfo) -> None:
        """Create the folder, its head, and its first segment. Raises: OSError, JournalError; no file remains then."""
        super().__init__(sign(info))
        self.path = path
        self._damaged: set[str] = set()
        create_folder(path.parent, exist_ok=True)
        # Under another name until it is complete and locked: no other process takes a part of it for an orphan.
        self._folder = path.with_name(path.name + _NEW_SUFFIX)
        create_folder(self._folder)
        head: Head | None = None
        try:
            head = Head(self._folder, self.info)
            first = FileSegment.create(self._folder, self.info, SegmentInfo(step=info.first_step))
            self._folder.rename(path)
        except (OSError, JournalError):
            if head is not None:
                head.close()
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._head = head
        self._folder = path
        first.path = path / first.name
        self.segments = (first,)

    def create(self, start: SegmentInfo) -> WritableSegment:
        """Create a segment, not yet among `segments`. Raises: OSError, JournalError."""
        return FileSegment.create(self.path, self.info, start)

    def _remove_one(self, segment: WritableSegment) -> None:
        if self.info.keep or segment.name in self._damaged:
            segment.close()
        else:
            segment.remove()

    def acknowledge(self, position: Position) -> bool:
        """Store the acknowledged position; return False if the disk does not take it."""
        return self._head.acknowledge(position)

    def beat(self, records: int) -> None:
        """Store a heartbeat, with the number of records that are written."""
        self._head.beat(records)

    def is_intact(self) -> bool:
        """Return whether the last segment has its header; a truncated file has not."""
        with contextlib.suppress(OSError, IndexError):
            return self.segments[-1].read(0, len(MAGIC)) == MAGIC
        return True

    @property
    def deleted(self) -> bool:
        """Return whether the files were deleted; records remain readable."""
        return self._head.deleted

    def keep_damaged(self, names: Iterable[str]) -> bool:
        """Keep segments that could not be read in full; return whether any of them is new."""
        before = len(self._damaged)
        self._damaged.update(names)
        return len(self._damaged) > before

    def save(self) -> None:
        """Write the files again after they were deleted. Raises: OSError."""
        create_folder(self.path, exist_ok=True)
        for segment in self.segments:
            with (self.path / segment.name).open("wb") as file:
                for at in range(0, segment.size(), MIB):
                    file.write(segment.read(at, MIB))
        self._head.save(self.path)

    def remove(self) -> None:
        """Delete the journal; if segments are damaged, keep them and rename it."""
        if self._damaged:
            self.remove_all()
            quarantine(self.path)
        else:
            remove_journal(self.path)

    def release(self, records: int) -> None:
        """Close and unlock the files, so that other processes may deliver them."""
        self._head.release(records)
        self._close_segments()

    def close(self) -> None:
        """Close the files without a trace, in a forked child."""
        self._head.close()
        self._close_segments()

    def _close_segments(self) -> None:
        for segment in self.segments:
            segment.close()
