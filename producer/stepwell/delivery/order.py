"""Order of recovery: the journals that may be sent now, and how long to wait for those that another process sends.

Pure functions. The order of a run's journals never rests on a clock: each session counts one more than the highest
generation that it saw among the journals of its run. A lane is the journals of one writer of one run, and its journals
are sent one after the other; lanes do not wait for one another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from stepwell.journal.format import JournalInfo
from stepwell_schemas.rules.identifiers import RunPath


class JournalEntry(NamedTuple):
    """A journal in a folder, and its identity."""

    path: Path
    info: JournalInfo

    @property
    def run(self) -> RunPath:
        """The run's path."""
        return RunPath(self.info.entity, self.info.project, self.info.run_id)


class Succession(NamedTuple):
    """The place of a new session: its generation, and the journal that it follows; None if it follows none."""

    generation: int
    predecessor: JournalEntry | None


def sort_key(info: JournalInfo) -> tuple[int, int, str]:
    """Return the sort key of a journal within its run.

    Sessions of one generation did not see one another: they ran concurrently, or on different machines. Their order is
    free, and their start only makes it the same everywhere. Journals of earlier versions have generation 0.
    """
    return info.generation, info.started, info.session


def find_succession(entries: Iterable[JournalEntry], writer: str) -> Succession:
    """Return the place of a new session of `writer` among the journals of its run, live ones included."""
    known = sorted(entries, key=lambda entry: sort_key(entry.info))
    own = [entry for entry in known if entry.info.writer == writer]
    return Succession(1 + max((entry.info.generation for entry in known), default=0), own[-1] if own else None)


def find_sendable(entries: Iterable[JournalEntry], settled: Collection[Path]) -> list[JournalEntry]:
    """Return the journals that may be sent now, oldest first: of each lane, the oldest that is not settled.

    Args:
        entries: journals, in any order.
        settled: those that no other has to wait for: delivered, given up, or written by a live session.
    """
    heads: dict[tuple[RunPath, str], JournalEntry] = {}
    for entry in sorted(entries, key=lambda entry: sort_key(entry.info)):
        if entry.path not in settled:
            heads.setdefault((entry.run, entry.info.writer), entry)
    return list(heads.values())


class Patience:
    """Time limit for journals that other processes deliver: it starts again with every record that they deliver."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._progress: dict[Path, tuple[int, float]] = {}

    def is_over(self, path: Path, acknowledged: int, now: float) -> bool:
        """Return whether a journal has stayed at the offset `acknowledged` for the time limit."""
        reached, since = self._progress.setdefault(path, (acknowledged, now))
        if acknowledged > reached:
            self._progress[path] = acknowledged, now
            return False
        return now - since >= self._seconds
