"""Journals of ended sessions, as their processes would have left them."""

from __future__ import annotations

from pathlib import Path

from stepwell.delivery.journal_folders import journal_name
from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import Journal
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.limits import MIB


def open_journal(folder: Path, info: JournalInfo, rows: int = 0, key: str = "row") -> Journal:
    """Return the open journal of a session that has logged some rows."""
    journal = Journal(folder / journal_name(info.run_id, info.session), info, 64 * MIB, "drop")
    writer = RowWriter(journal, info.first_step, info.run_id)
    for row in range(rows):
        writer.log({key: float(row)}, None, None)
    return journal


def leave_journal(folder: Path, info: JournalInfo, rows: int = 3) -> Path:
    """Write the journal of an ended session, and return its path."""
    journal = open_journal(folder, info, rows)
    journal.close()
    journal.release()
    return journal.path
