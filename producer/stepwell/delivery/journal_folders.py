"""Folders with journals: the one of the settings, and temporary ones, which are used if it is not writable.

Mostly headers are read here. Main threads and forked children use this module, so it must not import Kafka's client: a
fork in the middle of the sender's import would leave the child with a lock that no thread releases.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from stepwell.delivery.order import JournalEntry
from stepwell.errors import JournalError
from stepwell.journal.format import JOURNAL_SUFFIX, START, JournalInfo, Position
from stepwell.journal.stored import StoredJournal, read_journal_header
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath

TEMPORARY_PREFIX: Final = "stepwell-"
OTHERS_AT_MOST: Final = 500
_COUNT_MAX_BYTES: Final = 256 * MIB
_NAME_CHARS: Final = 64


def safe_file_name(run_id: str) -> str:
    """Return a run id as part of a file name: short, and without characters special to file systems or shells."""
    safe = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in run_id)
    return safe[:_NAME_CHARS]


def journal_name(run_id: str, session: str) -> str:
    """Return the name of a session's journal."""
    return f"{safe_file_name(run_id)}-{session}{JOURNAL_SUFFIX}"


def find_temporary_folders() -> list[Path]:
    """Return this user's temporary folders of Stepwell; others' are left out, since anybody may create one."""
    folders: list[Path] = []
    try:
        with os.scandir(tempfile.gettempdir()) as found:
            for entry in found:
                if entry.name.startswith(TEMPORARY_PREFIX):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid():
                        folders.append(Path(entry.path))
    except OSError:
        return folders
    return sorted(folders)


def read_info(path: Path) -> JournalInfo | None:
    """Return a journal's identity; None if it is gone or no journal."""
    try:
        return read_journal_header(path).info
    except (OSError, JournalError):
        return None


def read_position(path: Path) -> Position:
    """Return the position before which a journal is delivered; its start if it is gone or no journal."""
    try:
        return read_journal_header(path).acknowledged
    except (OSError, JournalError):
        return START


def count_records(path: Path) -> int:
    """Return the number of a journal's intact records; of a large single file, the number of acknowledged ones."""
    from stepwell.journal.reader import Reader

    known = 0
    try:
        with StoredJournal(path) as journal:
            known = max(journal.acknowledged.sequence, journal.known_records())
            if any(segment.single_file and segment.size() > _COUNT_MAX_BYTES for segment in journal.segments()):
                return known
            reader = Reader(check=False)
            reader.skip_to_end(journal)
            return max(reader.position.sequence, known)
    except (OSError, JournalError):
        return known


class JournalFolders:
    """The journals in one machine's folders. Headers are read once: they never change.

    A journal in a temporary folder counts only if it was written for the same service: temporary folders are shared by
    all projects of a user.

    Attributes:
        folder: the folder of the settings.
    """

    def __init__(self, folder: Path, destination: str) -> None:
        self.folder = folder
        self._destination = destination
        self._infos: dict[Path, JournalInfo] = {}
        self._temporary: list[Path] | None = None

    def find_run(self, run: RunPath) -> list[JournalEntry]:
        """Return all journals of a run, live ones included."""
        pattern = f"{safe_file_name(run.run_id)}-*{JOURNAL_SUFFIX}"
        if self._temporary is None:
            self._temporary = [folder for folder in find_temporary_folders() if any(folder.glob(f"*{JOURNAL_SUFFIX}"))]
        own = self._read(self.folder.glob(pattern))
        apart = self._read(path for folder in self._temporary for path in folder.glob(pattern))
        entries = [*own, *(entry for entry in apart if entry.info.destination == self._destination)]
        return [entry for entry in entries if entry.run == run]

    def find_others(self, run: RunPath) -> list[JournalEntry]:
        """Return journals of other runs in the folder of the settings, of the first OTHERS_AT_MOST files."""
        paths = islice(self.folder.glob(f"*{JOURNAL_SUFFIX}"), OTHERS_AT_MOST)
        return [entry for entry in self._read(paths) if entry.run != run]

    def _read(self, paths: Iterable[Path]) -> Iterator[JournalEntry]:
        for path in paths:
            info = self._infos.get(path) or read_info(path)
            # One that can't be read now may be readable later.
            if info is not None:
                self._infos[path] = info
                yield JournalEntry(path, info)
