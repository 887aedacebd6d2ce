"""Journals as they lie in a folder: their names, search, removal and quarantine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from stepwell.journal.format import HEAD_NAME, JOURNAL_SUFFIX, SEGMENT_SUFFIX

_DAMAGED_SUFFIX: Final = ".damaged"


def find_journals(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the distinct journals at `paths`, which are journals or folders that are searched for them."""
    seen: set[Path] = set()
    for path in paths:
        for journal in [path] if is_journal(path) or not path.is_dir() else path.rglob(f"*{JOURNAL_SUFFIX}"):
            if journal not in seen:
                seen.add(journal)
                yield journal


def is_journal(path: Path) -> bool:
    """Return whether a path is the folder of a journal."""
    return (path / HEAD_NAME).is_file() or any(path.glob(f"*{SEGMENT_SUFFIX}"))


def lock_file(journal: Path) -> Path:
    """Return the file that carries a journal's lock."""
    return journal / HEAD_NAME if journal.is_dir() else journal


def remove_journal(journal: Path) -> None:
    """Delete a delivered journal. Its head goes last: what an interruption leaves counts as delivered."""
    with contextlib.suppress(OSError):
        if not journal.is_dir():
            journal.unlink(missing_ok=True)
            return
        for segment in sorted(journal.glob(f"*{SEGMENT_SUFFIX}")):
            segment.unlink(missing_ok=True)
        (journal / HEAD_NAME).unlink(missing_ok=True)
        journal.rmdir()


def was_removed(journal: Path) -> bool:
    """Return whether a journal that existed was delivered and removed, and not renamed as damaged."""
    return not journal.exists() and not _quarantined(journal).exists()


def quarantine(journal: Path) -> Path:
    """Rename a damaged journal, so that nothing delivers it again, and return its new path."""
    renamed = _quarantined(journal)
    with contextlib.suppress(OSError):
        journal.rename(renamed)
    return renamed


def _quarantined(journal: Path) -> Path:
    return journal.with_name(journal.name + _DAMAGED_SUFFIX)
