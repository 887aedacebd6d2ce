"""Appending to a journal: reservation of space, writing, and what happens when there is no room.

Signal safety. CPython runs signal handlers on the main thread after calls and at backward jumps, and the reentrant lock
lets a handler that logs in here. So the space is reserved (`end`, `sequence`) and written without another call in
between: a handler's own records come before or after, and its exception (KeyboardInterrupt) never leaves a reserved
record without content. `RowWriter.log` repeats `Appender.append`.

The writer's current step changes after the write. A handler that logs in between finds the row that was reserved before
its own in `intent`, and applies it to the current step first, so that steps are counted in the order of the journal.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from stepwell.errors import JournalError
from stepwell.journal.format import FIRST_LAYOUT_TAG, HEADER_BYTES, RECORD_HEAD, START, TAG, TAG_LAYOUT, SegmentInfo
from stepwell.journal.room import FullPolicy, Remedy, choose_remedy, choose_segment_bytes
from stepwell.journal.row_layout import UNDEFINED, Layout
from stepwell.journal.segments import PWrite
from stepwell.journal.storage import MemoryStorage
from stepwell.terminal import notify

_BLOCK_POLL_SECONDS: Final = 0.01
_FULL_DISK_POLL_SECONDS: Final = 1.0
"""Interval between attempts on a full disk: one that fails takes 19 ms on btrfs."""

_pack_head = RECORD_HEAD.pack
_crc32 = zlib.crc32


class Appender:
    """Appends records to the segments of a journal. All methods are thread-safe.

    Attributes:
        path, info: the journal's place and identity.
        lock: held during an append. Reentrant: a signal handler may log while the main thread is inside `log()`; a
            plain lock would deadlock there.
        end: the offset after the last record. sequence: the number of the next record.
        limit: the offset up to which records may be appended without a call of `make_room`.
        base, pwrite: the offset at which the last segment begins, and the function that writes to it.
        acknowledged: the position before which everything was delivered. sender_alive: whether it may still advance.
        dropped: records dropped at the size bound or on a full disk. problem: the reason, "" if none was dropped.
        intent: the request and commit code of a row that is reserved and not counted in the current step yet.
        current_step: set by the writer; returns its current step (-1: unknown), and whether the row of it has begun.
    """

    def __init__(
        self,
        path: Path,
        storage: MemoryStorage,
        max_bytes: int,
        when_full: FullPolicy,
        segment_bytes: tuple[int, int],
    ) -> None:
        self.path = path
        self.info = storage.info
        self.lock = threading.RLock()
        self.sequence = self.base = 0
        self.end = HEADER_BYTES
        self.pwrite: PWrite = storage.segments[0].pwrite
        self.dropped = 0
        self.problem = ""
        self.intent: tuple[int, int] | None = None
        self.acknowledged = START
        self.sender_alive = False
        self.current_step: Callable[[], tuple[int, bool]] = _unknown_step
        self._storage = storage
        self._segment_bytes = segment_bytes
        self._segment_end = segment_bytes[0]
        self._segments_begun = 1
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._layouts: list[Layout] = []
        self._failure: OSError | None = None
        self._try_again_at = 0.0
        self._failed_at = -1
        self._rotation_wanted = self._closed = False
        self.limit = 0
        self._set_limit(0)

    def append(self, body: bytes, numbers: int = 1, intent: tuple[int, int] | None = None) -> bool:
        """Append a record that takes `numbers` numbers (0 or 1); return False if it was dropped.

        `intent` is that of a row. The caller holds the lock.
        """
        size = len(body) + RECORD_HEAD.size
        record = _pack_head(size, _crc32(body, size)) + body
        while True:
            while self.end + size > self.limit:
                if not self.make_room(size):
                    if self.intent is intent:
                        self.intent = None
                    return False
            # No call from here to the write: see the module.
            start = self.end
            self.end = start + size
            self.sequence += numbers
            if intent is not None:
                self.intent = intent
            try:
                written: int | BaseException = self.pwrite(record, start - self.base)
            except BaseException as error:
                written = error
            if written == size or self.settle(record, start, written, numbers):
                return True

    def settle(self, record: bytes, start: int, written: int | BaseException, numbers: int = 1) -> bool:
        """Settle a write to reserved space that ended early: write the rest, or give the space back.

        `written` is the number of bytes written, or the error. Returns False if the record has to be appended again:
        the next `make_room` decides what follows. The caller holds the lock.

        Raises: an exception of a signal handler, after the record is complete.
        """
        done = written if isinstance(written, int) else 0
        complete = False
        try:
            if isinstance(written, OSError):
                raise written
            while done < len(record):
                # The call after a short one says the reason.
                done += self.pwrite(record[done:], start - self.base + done) or fail_to_write(b"", 0)
            complete = True
        except OSError as error:
            self._give_back(start, len(record), numbers, torn=done > 0)
            self._failure = error
            self.limit = 0
        if not isinstance(written, int | OSError):
            raise written
        return complete

    def _give_back(self, start: int, size: int, numbers: int, *, torn: bool) -> None:
        """Give reserved space back, `torn` if a part of it was written."""
        if self.end == start + size:
            self.end = start
            self.sequence -= numbers
            if torn:
                with contextlib.suppress(OSError, IndexError):
                    self._storage.segments[-1].truncate(start - self.base)
        else:
            # A signal handler has logged after it. A reader can't pass the hole, so later records go elsewhere.
            self._rotation_wanted = True

    def append_json(self, tag: int, value: Any, intent: tuple[int, int] | None = None) -> bool:
        """Append a row, with its `intent`, or an event as JSON; return False if it was dropped."""
        body = TAG.pack(tag) + json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogatepass")
        with self.lock:
            return self.append(body, intent=intent)

    def append_all(self, bodies: Iterable[bytes], size: int) -> bool:
        """Append several records, `size` bytes at most in total, or none if they exceed the bound.

        A drop counts as one record.
        """
        with self.lock:
            return self._fits_bound(size) and all(self.append(body) for body in bodies)

    def define(self, keys: tuple[str, ...], codes: str) -> Layout:
        """Return a new layout. `make_room` writes its definition before the first row of it in each segment."""
        with self.lock:
            layout = Layout(FIRST_LAYOUT_TAG + len(self._layouts), keys, codes)
            self._layouts.append(layout)
            return layout

    def _append_definition(self, layout: Layout) -> bool:
        """Append a layout's definition to the last segment; return False if there was no room for it."""
        fields = {"tag": layout.tag, "keys": layout.keys, "codes": layout.codes}
        text = json.dumps(fields).encode("utf-8", "surrogatepass")
        dropped = self.dropped
        if not self.append(TAG.pack(TAG_LAYOUT) + text, 0):
            self.dropped = dropped  # not a record; the row that needs it is counted when it finds no room either
            return False
        layout.reserve = layout.record_bytes
        return True

    def make_room(self, size: int, layout: Layout | None = None) -> bool:
        """Make room for a record, with its layout defined in its segment; return False if it has to be dropped.

        The caller holds the lock, and compares `end` with `limit` again afterwards.
        """
        if self._closed:
            self.dropped += 1
            return False
        if not self._fits_bound(size) or not self._has_segment():
            return False
        if self._rotation_wanted or (self.end + size > self._segment_end and self._has_records):
            self._begin_segment()
        if layout is not None and layout.reserve == UNDEFINED and not self._append_definition(layout):
            self.dropped += 1
            return False
        self._set_limit(size)
        return True

    @property
    def _has_records(self) -> bool:
        return self.end - self.base > HEADER_BYTES

    def _set_limit(self, size: int) -> None:
        if not self._closed and self._failure is None:
            self.limit = max(self.end + size, min(self._segment_end, self.acknowledged.offset + self._max_bytes))

    def _fits_bound(self, size: int) -> bool:
        """Return whether `size` bytes fit into the bound, after waiting for that if the policy says so."""
        while self.end + size - self.acknowledged.offset > self._max_bytes:
            if size > self._max_bytes or not self._may_wait():
                return self._drop(f"the journal has reached its bound of {self._max_bytes:,} undelivered bytes")
            time.sleep(_BLOCK_POLL_SECONDS)
        return True

    def _may_wait(self) -> bool:
        """Return whether to wait for room: not without a sender, since that would never end."""
        return self._when_full == "block" and self.sender_alive and not self._closed

    def _has_segment(self) -> bool:
        """Return whether a write may be tried; after a failed one, wait or drop until it is time to try again."""
        while self._failure is not None:
            error = self._failure
            if self.sequence != self._failed_at or time.monotonic() >= self._try_again_at:
                self._failed_at = self.sequence
                self._try_again_at = time.monotonic() + _FULL_DISK_POLL_SECONDS
                self._failure = None
                if self._prepare_retry(error):
                    return True
                self._failure = error
            if not self._may_wait():
                return self._drop(f"{self.path} can't grow: {error.strerror}")
            time.sleep(_BLOCK_POLL_SECONDS)
        return True

    def _prepare_retry(self, error: OSError) -> bool:
        """Prepare another attempt after a failed write; return False if there is nothing to write to."""
        delivered = self.acknowledged.sequence == self.sequence and not self.info.keep
        remedy = choose_remedy(error.errno or 0, has_records=self._has_records, all_delivered=delivered)
        if remedy is Remedy.REPLACE:
            self.pwrite = fail_to_write
            self._storage.remove_all()
        if remedy is not Remedy.RETRY or not self._storage.segments:
            self._begin_segment()
        return bool(self._storage.segments)

    def _drop(self, problem: str) -> bool:
        self.dropped += 1
        if not self.problem:
            self.problem = problem
            notify(
                f"{self.info.run_id}: {problem}; training continues, rows are dropped and counted until there is room"
            )
        return False

    def _begin_segment(self) -> None:
        """Begin a new segment; if it can't be created, the last one grows on."""
        start = SegmentInfo(self._segments_begun, self.end, self.sequence, *self.current_step())
        try:
            segment = self._storage.create(start)
        except (OSError, JournalError):  # no space, no descriptor, or the folder is gone
            self._segment_end = self.end + self._segment_bytes[0]
            return
        backlog = self.end - self.acknowledged.offset
        size = self._segment_bytes[1] if self.info.keep else choose_segment_bytes(backlog, *self._segment_bytes)
        for layout in self._layouts:
            layout.reserve = UNDEFINED
        if self.end != start.base:  # a signal handler has logged meanwhile; the caller compares `end` again
            with contextlib.suppress(OSError):
                segment.remove()
            return
        # Without a call from the comparison on, so that neither a handler nor another thread sees a part of it.
        self._storage.segments = (*self._storage.segments, segment)
        self.base, self.pwrite = start.base, segment.pwrite
        self.end = start.base + HEADER_BYTES
        self._segment_end = start.base + size
        self._segments_begun = start.number + 1
        self._rotation_wanted = False
        self.limit = 0


def _unknown_step() -> tuple[int, bool]:
    return -1, False


def fail_to_write(data: bytes, at: int) -> int:
    """Refuse a write, as a full disk does: there is no segment. Raises: OSError."""
    del data, at
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
