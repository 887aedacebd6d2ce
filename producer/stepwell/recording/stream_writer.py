"""Writing a stream beside a run's own rows: a journal, a writer and a count of steps of its own.

So it can't disturb them: not their steps, nor the receipt's counts, nor the bound of their journal. Delivery, what a
killed process leaves behind, and `stepwell sync` treat it as any other journal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from stepwell.errors import JournalError
from stepwell.journal.format import TAG_ROW
from stepwell.journal.journal import Journal
from stepwell.terminal import say
from stepwell.values.convert import Cell
from stepwell_schemas.rules.steps import COMMIT_DEFAULT, COMMIT_FALSE, COMMIT_TRUE, NO_STEP


class StreamAccount(NamedTuple):
    """What became of a stream: records not delivered, and its journal where it stays (None: it went, or never was)."""

    pending: int = 0
    journal: Path | None = None


class StreamLog:
    """The rows of one stream; its journal is opened with the first of them. Safe to call from one thread at a time.

    Attributes:
        current: the step that the next row is written at, counted from `first_step`.
        journal: where they are written; None while there was none.
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
        """Write a row of time `at` (µs); the next one replaces it where it `stays`. False when it was dropped."""
        if self.journal is None and not self._open():
            return False
        # The ingestor's writer stands at 0: the first row says where this one begins.
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
            say(f"{self._label} is not kept: {error}")
            return False
        self._deliver(self.journal)
        return True

    def close(self) -> None:
        """Take no more rows."""
        self._closed = True
        if self.journal is not None:
            self.journal.stop_waiting()
            self.journal.close()

    def account(self, *, keep: bool) -> StreamAccount:
        """Let go of the journal, which goes where it was delivered whole, unless it is to be kept."""
        journal = self.journal
        if journal is None:
            return StreamAccount()
        pending = journal.sequence - journal.acknowledged.sequence
        if journal.deleted and pending:
            with contextlib.suppress(OSError):
                journal.save()
        elif not pending and not keep:
            with contextlib.suppress(OSError):
                journal.path.unlink(missing_ok=True)
        journal.release()
        return StreamAccount(pending, journal.path if journal.path.exists() else None)

    def abandon_in_child(self) -> None:
        """In a forked child: never write to the parent's journal."""
        self._closed = True
        if self.journal is not None:
            self.journal.abandon_in_child()
