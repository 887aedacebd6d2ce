"""Journals of earlier releases, which are one file, are read, delivered and removed as before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stepwell.delivery.journal_file import JournalFile
from stepwell.journal import locks
from stepwell.journal.folders import find_journals, quarantine, remove_journal
from stepwell.journal.format import HEADER_BYTES, JournalInfo, Position
from stepwell.journal.journal import Journal
from stepwell.journal.reader import Reader
from stepwell.journal.stored import StoredJournal
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.limits import MIB
from support.fakes.producers import AcceptingProducer
from support.readers.journals import count_rows, flip, write_single_file

ROWS = 1_000


@pytest.fixture
def single_file(tmp_path: Path) -> Path:
    """A journal of version 2."""
    journal = Journal(tmp_path / "new", JournalInfo("e", "p", "r", "s", ""), 64 * MIB, "drop")
    rows = RowWriter(journal, 0, "r")
    for row in range(ROWS):
        rows.log({"a": float(row)}, None, None)
    journal.release()
    write_single_file(journal.path, tmp_path / "old.journal")
    return tmp_path / "old.journal"


def test_it_is_found_and_belongs_to_no_process(single_file: Path) -> None:
    assert list(find_journals([single_file.parent])) == [single_file]
    assert list(find_journals([single_file])) == [single_file]
    assert locks.is_orphaned(single_file)


def test_it_is_delivered_once(single_file: Path) -> None:
    producer: Any = AcceptingProducer()
    for sent in (ROWS, 0):
        with JournalFile(single_file) as file:
            assert (file.left_bytes == 0) is (sent == 0)
            asyncio.run(file.deliver(producer))
            assert (file.reached.sequence - file.start.sequence, file.damage) == (sent, None)
    with StoredJournal(single_file) as stored:
        assert stored.acknowledged.sequence == ROWS


def test_a_position_within_it_is_read_from(single_file: Path) -> None:
    with StoredJournal(single_file) as stored:
        reader = Reader(check=True)
        assert 0 < count_rows(reader.read(stored, 1 << 40, 20_000)) < ROWS
        stored.acknowledge(reader.position)
        resumed = Reader(check=True)
        resumed.skip_to(stored, stored.acknowledged)
        assert count_rows(resumed.read_all(stored)) == ROWS - reader.position.sequence
        assert resumed.position.sequence == ROWS


def test_damage_ends_it(single_file: Path) -> None:
    flip(single_file, HEADER_BYTES + 10_000)
    with StoredJournal(single_file) as stored:
        reader = Reader(check=True)
        rows = count_rows(reader.read_all(stored))
        damage = reader.damage(stored)
    assert 0 < rows < ROWS
    assert damage is not None
    assert damage.offset == reader.position.offset
    assert Position(damage.offset, rows) == reader.position


def test_it_is_set_apart_and_removed_as_a_file(single_file: Path) -> None:
    renamed = quarantine(single_file)
    assert (single_file.exists(), renamed.is_file()) == (False, True)
    remove_journal(renamed)
    assert not renamed.exists()
