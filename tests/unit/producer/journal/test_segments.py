"""Segments: disk use follows the backlog, and damage costs the tail of one segment."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.delivery.journal_file import JournalFile
from stepwell.journal.format import START, JournalInfo, Position
from stepwell.journal.items import JsonRow, Rows
from stepwell.journal.journal import Journal
from stepwell.journal.reader import Reader
from stepwell.journal.room import Remedy, choose_remedy, choose_segment_bytes
from stepwell.journal.stored import StoredJournal
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.events.models import LogBatch
from stepwell_schemas.limits import KIB, MIB
from stepwell_schemas.rules.steps import StepState, resolve
from support.fakes.producers import AcceptingProducer
from support.readers.journals import count_rows, flip, segment_files

INFO = JournalInfo("e", "p", "r", "session", "")
SEGMENT_BYTES = (16 * KIB, 32 * KIB)
ROWS = 1_000


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of small segments."""
    journal = make_journal(tmp_path)
    yield journal
    journal.release()


def make_journal(folder: Path, *, keep: bool = False, max_bytes: int = 64 * MIB) -> Journal:
    """Return a journal of small segments."""
    return Journal(folder / "j.journal", INFO._replace(keep=keep), max_bytes, "drop", SEGMENT_BYTES)


def log_rows(journal: Journal, count: int = ROWS, first: int = 0) -> RowWriter:
    """Log rows of two layouts, and some as JSON."""
    rows = RowWriter(journal, 0, "r")
    for row in range(first, first + count):
        rows.log({"a": float(row)} if row % 3 else {"a": float(row), "b": row}, None, None)
        if row % 100 == 0:
            rows.log({"text": f"row {row}"}, None, None)
    return rows


def read_values(reader: Reader, journal: Journal | StoredJournal) -> list[tuple[int, float]]:
    """Return the number and the value of each row with `a` that can be read, across gaps."""
    found: list[tuple[int, float]] = []
    while True:
        before = reader.position
        number = before.sequence
        for item in reader.read(journal, 1 << 60, MIB):
            if isinstance(item, Rows):
                found += [(number + at, float(row["v0"][0])) for at, row in enumerate(item.array)]
                number += len(item.array)
            else:
                number += 1
        if reader.position == before:
            return found


def test_rows_are_read_across_segments_and_each_defines_its_layouts(journal: Journal) -> None:
    log_rows(journal)
    assert len(journal.segments()) > 2
    reader = Reader(check=True)
    assert [value for _, value in read_values(reader, journal)] == [float(row) for row in range(ROWS)]
    assert reader.position == Position(journal.end, journal.sequence)
    assert reader.damage(journal) is None
    for segment in journal.segments():
        resumed = Reader(check=True)
        resumed.skip_to(journal, Position(segment.info.base, segment.info.sequence))
        read_values(resumed, journal)
        assert resumed.position == reader.position


def test_segments_are_deleted_when_their_records_are_acknowledged(journal: Journal) -> None:
    log_rows(journal)
    first, second, *others = journal.segments()
    journal.acknowledge(Position(second.info.base, second.info.sequence))
    assert [segment.name for segment in journal.segments()] == [second.name, *(one.name for one in others)]
    assert [path.name for path in segment_files(journal.path)] == [segment.name for segment in journal.segments()]
    journal.acknowledge(Position(journal.end, journal.sequence))
    assert len(segment_files(journal.path)) == 1, "the last segment is still written to"
    assert first.name == "000000.segment"


def test_a_journal_that_is_kept_keeps_all_segments(tmp_path: Path) -> None:
    journal = make_journal(tmp_path, keep=True)
    log_rows(journal)
    journal.acknowledge(Position(journal.end, journal.sequence))
    assert len(segment_files(journal.path)) > 2
    journal.release()
    with StoredJournal(journal.path) as stored:
        assert len(read_values(Reader(check=True), stored)) == ROWS


def test_delivered_bytes_do_not_count_for_the_bound(tmp_path: Path) -> None:
    journal = make_journal(tmp_path, max_bytes=MIB)
    rows = RowWriter(journal, 0, "r")
    for row in range(100_000):
        rows.log({"a": float(row)}, None, None)
        if row % 1_000 == 0:
            journal.acknowledge(Position(journal.end, journal.sequence))
    assert (journal.dropped, journal.end > 4 * MIB) == (0, True)
    assert sum(path.stat().st_size for path in segment_files(journal.path)) < 128 * KIB
    journal.release()


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "header"])
def test_damage_costs_the_tail_of_one_segment(journal: Journal, damage: str) -> None:
    log_rows(journal)
    _, second, third, *_ = journal.segments()
    journal.release()
    path = journal.path / second.name
    if damage == "flip":
        flip(path, 12 * KIB)
    elif damage == "cut":
        os.truncate(path, 12 * KIB)
    elif damage == "missing":
        path.unlink()
    else:
        os.truncate(path, 100)
    with StoredJournal(journal.path) as stored:
        reader = Reader(check=True)
        values = read_values(reader, stored)
        (gap,) = reader.gaps
        assert str(reader.damage(stored)) == str(gap)
    assert reader.position == Position(journal.end, journal.sequence)
    assert gap.offset + gap.bytes == third.info.base
    assert (second.info.sequence < third.info.sequence - gap.records) is (damage in {"flip", "cut"})
    # The rows before and after the gap have their own numbers, and each its own value.
    everything = dict(read_all_values(journal.sequence))
    assert {number: everything[number] for number, _ in values} == dict(values)
    assert len(values) + gap.records >= ROWS


def read_all_values(records: int) -> list[tuple[int, float]]:
    """Return the number and the value of each row that `log_rows` writes."""
    found, number = [], 0
    for row in range(ROWS):
        found.append((number, float(row)))
        number += 2 if row % 100 == 0 else 1
    assert number == records
    return found


@pytest.mark.parametrize("lineage", ["session", ""])
def test_rows_after_a_gap_keep_their_steps(tmp_path: Path, lineage: str) -> None:
    """Also those of side streams, which have no lineage: the ingestor counts their steps."""
    info = INFO._replace(lineage=lineage)
    journal = Journal(tmp_path / "j.journal", info, 64 * MIB, "drop", SEGMENT_BYTES)
    rows = RowWriter(journal, 0, "r")
    for row in range(ROWS):
        rows.log({"a": float(row)}, None, None)
    path = journal.path / journal.segments()[1].name
    journal.release()
    flip(path, 12 * KIB)
    producer: Any = AcceptingProducer()
    with JournalFile(journal.path) as file:
        asyncio.run(file.deliver(producer))
        assert file.damage is not None
    state, steps, values = StepState(), list[int](), list[float]()
    for batch in producer.events:
        assert isinstance(batch, LogBatch)
        if batch.current_step is not None:
            state = StepState(batch.current_step, batch.row_begun)
        resolved = resolve(state, None, None, batch.rows)
        state = resolved.state
        steps += resolved.steps.tolist()
        values += np.frombuffer(batch.blocks[0].packed, "<f8").tolist()
    assert 0 < len(values) < ROWS
    assert [float(step) for step in steps] == values


def test_a_cut_after_what_was_delivered_is_damage(journal: Journal) -> None:
    log_rows(journal)
    first = journal.segments()[1].info
    delivered = Position(first.base, first.sequence)
    journal.release()
    for path in segment_files(journal.path)[1:]:
        path.unlink()
    with StoredJournal(journal.path) as stored:
        stored.acknowledge(delivered)
    producer: Any = AcceptingProducer()
    with JournalFile(journal.path) as file:
        assert file.left_bytes == 0
        asyncio.run(file.deliver(producer))
        assert file.damage is not None
        assert file.damage.records == journal.sequence - delivered.sequence


@pytest.mark.parametrize("at", [50, 4_200])
def test_no_byte_of_a_header_is_needed_alone(journal: Journal, at: int) -> None:
    log_rows(journal)
    journal.release()
    for path in journal.path.iterdir():
        flip(path, at)
    with StoredJournal(journal.path) as stored:
        reader = Reader(check=True)
        assert len(read_values(reader, stored)) == ROWS
        assert (stored.info, reader.damage(stored)) == (journal.info, None)


def test_a_journal_without_its_head_is_read_from_the_start(journal: Journal) -> None:
    log_rows(journal)
    journal.release()
    (journal.path / "head").unlink()
    with StoredJournal(journal.path) as stored:
        assert (stored.info, stored.acknowledged) == (journal.info, START)
        assert len(read_values(Reader(check=True), stored)) == ROWS


def test_records_that_the_heartbeat_knew_are_missed_at_the_end(journal: Journal) -> None:
    log_rows(journal)
    path = journal.path / journal.segments()[-1].name
    journal.release()
    os.truncate(path, path.stat().st_size - 100)
    with StoredJournal(journal.path) as stored:
        reader = Reader(check=True)
        read_values(reader, stored)
        damage = reader.damage(stored)
    assert damage is not None
    assert damage.records == journal.sequence - reader.position.sequence > 0


def test_a_live_journal_that_is_truncated_goes_on_in_a_new_segment(journal: Journal) -> None:
    reader = Reader(check=False)
    log_rows(journal, 50)
    read_values(reader, journal)
    log_rows(journal, 50, 50)
    os.truncate(journal.path / journal.segments()[-1].name, 0)
    log_rows(journal, 10, 100)
    assert read_values(reader, journal) == []
    assert reader.position.offset < journal.settled_end()
    journal.begin_segment_next()
    log_rows(journal, 10, 110)
    assert [value for _, value in read_values(reader, journal)] == [float(row) for row in range(110, 120)]
    (gap,) = reader.gaps
    assert gap.records == 61


def test_a_heartbeat_notices_a_truncated_segment(journal: Journal) -> None:
    log_rows(journal, 50)
    os.truncate(journal.path / journal.segments()[-1].name, 0)
    journal.beat()
    log_rows(journal, 50, 50)
    assert len(journal.segments()) == 2


@given(st.data())
def test_any_kill_leaves_a_prefix_and_any_reopening_continues(data: st.DataObject) -> None:
    """Appends, acknowledgements and a kill at any byte: what is read is what was logged, each row once."""
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"stepwell-segments-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    journal = Journal(folder / "j.journal", INFO, 64 * MIB, "drop", (9 * KIB, 10 * KIB))
    rows, reader, written, delivered = RowWriter(journal, 0, "r"), Reader(check=False), 0, list[float]()
    for _ in range(data.draw(st.integers(1, 6))):
        for _ in range(data.draw(st.integers(0, 60))):
            layout = data.draw(st.sampled_from(["a", "b", "json"]))
            value: float | str = str(written) if layout == "json" else float(written)
            rows.log({layout: value}, None, None)
            written += 1
        if data.draw(st.booleans()):
            delivered += values_of(reader, journal, data.draw(st.integers(100, 4_000)))
            journal.acknowledge(reader.position)
    killed = Path(shutil.copytree(journal.path, folder / "killed.journal"))
    journal.release()
    last = segment_files(killed)[-1]
    kept = data.draw(st.integers(0, last.stat().st_size))
    os.truncate(last, kept)
    with StoredJournal(killed) as stored:
        resumed = Reader(check=True)
        resumed.skip_to(stored, stored.acknowledged)
        rest = values_of(resumed, stored, MIB)
    found = delivered + rest
    assert found == [float(row) for row in range(len(found))], "in order, each once"
    assert len(found) <= written
    if kept == (journal.path / last.name).stat().st_size:
        assert len(found) == written
    shutil.rmtree(folder)


def values_of(reader: Reader, journal: Journal | StoredJournal, max_bytes: int) -> list[float]:
    """Return the values of the next rows."""
    found: list[float] = []
    end = journal.end if isinstance(journal, Journal) else 1 << 60
    for item in reader.read(journal, end, max_bytes):
        if isinstance(item, Rows):
            found += [float(row["v0"][0]) for row in item.array]
        elif isinstance(item, JsonRow):
            found += [float(value) for _, value in item.row["d"].values()]
        assert count_rows([item]) > 0
    return found


def test_segments_are_small_while_delivery_keeps_up() -> None:
    assert choose_segment_bytes(0, MIB, 64 * MIB) == MIB
    assert choose_segment_bytes(40 * MIB, MIB, 64 * MIB) == 10 * MIB
    assert choose_segment_bytes(16 * 1024 * MIB, MIB, 64 * MIB) == 64 * MIB


def test_a_full_disk_is_retried_and_another_error_is_left_behind() -> None:
    assert choose_remedy(28, has_records=True, all_delivered=False) is Remedy.RETRY
    assert choose_remedy(28, has_records=True, all_delivered=True) is Remedy.REPLACE
    assert choose_remedy(28, has_records=False, all_delivered=True) is Remedy.RETRY
    assert choose_remedy(27, has_records=True, all_delivered=False) is Remedy.NEW_SEGMENT
    assert choose_remedy(5, has_records=False, all_delivered=False) is Remedy.RETRY
