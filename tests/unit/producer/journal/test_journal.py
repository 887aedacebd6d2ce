"""Journals: readers return exactly the logged records, whatever happens to the file."""

from __future__ import annotations

import math
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.delivery.batching import encode_events, split_into_events
from stepwell.errors import NotAJournalError
from stepwell.journal.format import HEAD_NAME, HEADER_BYTES, START, JournalInfo, Position, read_header
from stepwell.journal.items import JsonRow, MetaEvent, Rows
from stepwell.journal.journal import Journal
from stepwell.journal.reader import Reader
from stepwell.journal.stored import read_journal_header
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.events.codec import decode
from stepwell_schemas.limits import MIB
from support.readers.journals import BytesPlace, flip, journal_bytes, read_items

_INFO = JournalInfo("e", "p", "r", "session", "")
_SCALARS = st.one_of(st.floats(width=64), st.integers(-(2**80), 2**80), st.booleans(), st.text(max_size=5))
_ROWS = st.lists(st.dictionaries(st.sampled_from("abcdef"), _SCALARS, max_size=4), max_size=30)


@contextmanager
def _journal(max_bytes: int = 64 * MIB) -> Iterator[Journal]:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "j.journal", _INFO, max_bytes, "drop")
        yield journal
        journal.release()


def _written(rows: list[dict[str, Any]]) -> bytes:
    with _journal() as journal:
        log = RowWriter(journal, 0, "r")
        for row in rows:
            log.log(row, None, None)
        return journal_bytes(journal.path)


def _logged(data: bytes) -> list[dict[str, Any]]:
    """Return the rows that a checking reader returns."""
    found: list[dict[str, Any]] = []
    for item in read_items(BytesPlace(data)):
        if isinstance(item, Rows):
            for record in item.array:
                values = [value for number in range(len(item.layout.code_runs())) for value in record[f"v{number}"]]
                found.append(dict(zip(item.layout.keys, (value.item() for value in values), strict=True)))
        elif isinstance(item, JsonRow):
            found.append({key: value for key, (_, value) in item.row["d"].items()})
    return found


def _bits(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make NaN comparable: JSON rows do not preserve its payload, so all NaNs are equal."""
    return [
        {
            key: ("nan" if math.isnan(value) else struct.pack("<d", value)) if type(value) is float else value
            for key, value in row.items()
        }
        for row in rows
    ]


@given(_ROWS)
def test_rows_come_back_bit_for_bit(rows: list[dict[str, Any]]) -> None:
    assert _bits(_logged(_written(rows))) == _bits(rows)


@given(_ROWS, st.data())
def test_a_truncated_journal_gives_a_prefix(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    written = _written(rows)
    torn = written[: data.draw(st.integers(HEADER_BYTES, len(written)))]
    found = _logged(torn)
    assert _bits(found) == _bits(rows)[: len(found)]


@given(_ROWS.filter(bool), st.data())
def test_a_corrupted_byte_ends_the_journal_there(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    written = bytearray(_written(rows))
    at = data.draw(st.integers(HEADER_BYTES, len(written) - 1))
    intact = _logged(bytes(written[:at]))
    written[at] ^= data.draw(st.integers(1, 255))
    assert _bits(_logged(bytes(written))) == _bits(intact) == _bits(rows)[: len(intact)]


@given(_ROWS, st.integers(1, 400), st.integers(1, 5))
def test_any_cut_covers_every_record_once_and_in_order(
    rows: list[dict[str, Any]], max_bytes: int, max_rows: int
) -> None:
    written = _written(rows)
    reader = Reader(check=True)
    cuts = split_into_events(reader.read(BytesPlace(written), len(written), len(written)), max_bytes, max_rows)
    following = 0
    for payload, after, error, *_ in encode_events(cuts, _INFO, 0):
        assert not error
        event = decode(payload)
        assert event.sequence == following
        assert event.records <= max_rows
        following += event.records
        assert after.sequence == following
        again = Reader(check=True)
        again.skip_to(BytesPlace(written), after)
        assert again.position.sequence == after.sequence
    assert following == len(rows) == reader.position.sequence


def test_reading_continues_from_an_acknowledged_position() -> None:
    rows = [{"a": float(number)} if number % 3 else {"b": "x"} for number in range(20)]
    written = _written(rows)
    reader = Reader(check=True)
    place = BytesPlace(written)
    first = next(iter(reader.read(place, len(written), len(written))))
    assert isinstance(first, JsonRow)
    resumed = Reader(check=True)
    resumed.skip_to(place, reader.position)
    left = list(resumed.read(place, len(written), len(written)))
    assert sum(len(item.array) if isinstance(item, Rows) else 1 for item in left) == len(rows) - 1


def test_the_acknowledged_position_is_kept_and_a_torn_one_means_the_start() -> None:
    with _journal() as journal:
        journal.acknowledge(Position(HEADER_BYTES + 8, 1))
        assert read_journal_header(journal.path).acknowledged == Position(HEADER_BYTES + 8, 1)
        flip(journal.path / HEAD_NAME, 33)
        assert read_journal_header(journal.path).acknowledged == START


def test_other_files_are_no_journals() -> None:
    with pytest.raises(NotAJournalError):
        read_header(b"")
    with pytest.raises(NotAJournalError):
        read_header(bytes(HEADER_BYTES))


def test_beyond_its_bound_a_journal_drops_and_counts() -> None:
    with _journal(max_bytes=MIB) as journal:
        log = RowWriter(journal, 0, "r")
        for _ in range(40_000):
            log.log({"a": 1.0}, None, None)
        assert log.rows + journal.dropped == 40_000
        assert journal.dropped > 0
        dropped = journal.dropped
        journal.acknowledge(Position(journal.end, journal.sequence))
        log.log({"a": 1.0}, None, None)
        assert journal.dropped == dropped


_KILLED = """
import os, signal, sys, stepwell
run = stepwell.init(project="p", mode="offline", dir=sys.argv[1])
for row in range(1000):
    run.log({"row": row})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_logged_survives_a_kill(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    (file,) = tmp_path.rglob("*.journal")
    assert _logged(journal_bytes(file)) == [{"row": row} for row in range(1000)]


def test_a_forked_child_writes_a_journal_of_its_own(tmp_path: Path) -> None:
    script = """
import os, sys, stepwell
run = stepwell.init(project="p", mode="offline", dir=sys.argv[1])
run.log({"row": 0})
child = os.fork()
if child == 0:
    run.log({"row": -1}); run.log({"row": -2}); run.config.lr = 1; run.finish(); os._exit(0)
if os.fork() == 0:
    run.finish(); os._exit(0)
os.wait(); os.wait()
run.log({"row": 1})
run.finish(quiet=True)
print(child)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    child = subprocess.run(command, timeout=60, check=True, capture_output=True, text=True).stdout.strip()
    files = {read_journal_header(file).info.writer: journal_bytes(file) for file in tmp_path.rglob("*.journal")}
    assert set(files) == {"", f"fork-{child}"}
    assert _logged(files[""]) == [{"row": 0}, {"row": 1}]
    assert _events(files[""]) == ["RunStarted", "RunFinished"]
    child_data = files[f"fork-{child}"]
    assert _logged(child_data) == [{"row": -1}, {"row": -2}]
    assert _events(child_data) == ["RunUpdated"]
    lines = {writer: read_header(data).info for writer, data in files.items()}
    assert lines[f"fork-{child}"].first_step == 1
    assert lines[f"fork-{child}"].lineage == lines[""].lineage == lines[""].session


def _events(data: bytes) -> list[str]:
    items = read_items(BytesPlace(data))
    return [item.fields["event"] for item in items if isinstance(item, MetaEvent)]
