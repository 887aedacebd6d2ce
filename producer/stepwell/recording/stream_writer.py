"""Writer of a side stream: rows separate from those of the run, with a journal, writer name and step count of its own.

So a side stream does not affect the run's steps, the receipt's counts, or the bound of the run's journal. Delivery,
recovery after a crash, and `stepwell sync` treat its journal like any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from stepwell.errors import JournalError
from stepwell.journal.format import TAG_ROW
from stepwell.journal.journal import Journal
from stepwell.terminal import notify
from stepwell.values.convert import Cell
from stepwell_schemas.rules.steps import COMMIT_DEFAULT, COMMIT_FALSE, COMMIT_TRUE, NO_STEP


class StreamReceipt(NamedTuple):
    """Result of a stream: undelivered records, and its journal if the file remains."""

    pending: int = 0
    journal: Path | None = None


class StreamWriter:
    """Writes the rows of one stream; the journal is opened with the first row. For one thread at a time.

    Attributes:
        current: the step of the next row, counted from `first_step`.
        journal: the stream's journal; None before the first row.
    """

    def __init__(
        self, label: str, opener: Callable[[], Journal], deliver: Callable[[Journal], None], first_step: int = 0
    ) -> None:
        self.current = first_step
        self._begins = first_step > 0
        self._label = label
        self._opener = opener
        self._deliver = deliver
        self.journal: Journal | None = None
        self._closed = False

    def write(self, cells: Mapping[str, Cell], at: int, *, stays: bool = False) -> bool:
        """Write a row of time `at` (µs); if it `stays`, the next row replaces it. Return False if it was dropped."""
        if self.journal is None and not self._open():
            return False
        # The ingestor starts a new writer at step 0: the first row carries the step to start at.
        step, moves = (self.current, COMMIT_TRUE) if self._begins else (NO_STEP, COMMIT_DEFAULT)
        row = {"t": at, "s": step, "c": COMMIT_FALSE if stays else moves, "d": cells}
        if self.journal is None or not self.journal.append_json(TAG_ROW, row):
            return False
        self._begins = False
        self.current += not stays
        return True

    def _open(self) -> bool:
        if self._closed:
            return False
        try:
            self.journal = self._opener()
        except JournalError as error:
            self._closed = True
            notify(f"{self._label} is not recorded: {error}")
            return False
        self.journal.current_step = lambda: (self.current, False)
        self._deliver(self.journal)
        return True

    def close(self) -> None:
        """Reject further rows."""
        self._closed = True
        if self.journal is not None:
            self.journal.stop_waiting()
            self.journal.close()

    def release(self, *, keep: bool) -> StreamReceipt:
        """Release the journal, and delete it if it was delivered in full, unless `keep`."""
        journal = self.journal
        if journal is None:
            return StreamReceipt()
        pending = journal.sequence - journal.acknowledged.sequence
        if journal.deleted and pending:
            with contextlib.suppress(OSError):
                journal.save()
        elif not pending and not keep:
            journal.remove()
        journal.release()
        return StreamReceipt(pending, journal.path if journal.path.exists() else None)

    def abandon_in_child(self) -> None:
        """In a forked child: never write to the parent's journal."""
        self._closed = True
        if self.journal is not None:
            self.journal.abandon_in_child()
