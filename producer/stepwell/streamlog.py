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
from stepwell.journal import Journal
from stepwell.journal_format import TAG_ROW
from stepwell.terminal import say
from stepwell.values import Cell
from stepwell_schemas.steps import COMMIT_DEFAULT, COMMIT_FALSE, NO_STEP


class StreamAccount(NamedTuple):
    """What became of a stream: records not delivered, and its journal where it stays (None: it went, or never was)."""

    pending: int = 0
    journal: Path | None = None


class StreamLog:
    """The rows of one stream; its journal is opened with the first of them. Safe to call from one thread at a time."""

    def __init__(self, label: str, opener: Callable[[], Journal], deliver: Callable[[Journal], None]) -> None:
        self._label = label
        self._opener = opener
        self._deliver = deliver
        self._journal: Journal | None = None
        self._closed = False

    def write(self, cells: Mapping[str, Cell], at: int, *, stays: bool = False) -> bool:
        """Write a row of time `at` (µs); the next one replaces it where it `stays`. False when it was dropped."""
        if self._journal is None and not self._open():
            return False
        commit = COMMIT_FALSE if stays else COMMIT_DEFAULT
        journal = self._journal
        return journal is not None and journal.append_json(TAG_ROW, {"t": at, "s": NO_STEP, "c": commit, "d": cells})

    def _open(self) -> bool:
        if self._closed:
            return False
        try:
            self._journal = self._opener()
        except JournalError as error:
            self._closed = True
            say(f"{self._label} is not kept: {error}")
            return False
        self._deliver(self._journal)
        return True

    def close(self) -> None:
        """Take no more rows."""
        self._closed = True
        if self._journal is not None:
            self._journal.stop_waiting()
            self._journal.close()

    def account(self, *, keep: bool) -> StreamAccount:
        """Let go of the journal, which goes where it was delivered whole, unless it is to be kept."""
        journal = self._journal
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
        if self._journal is not None:
            self._journal.abandon_in_child()
