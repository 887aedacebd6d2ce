"""Media in the journal: each file once, in chunks before its row, and a file without room drops only its row."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from stepwell.delivery.batching import encode_events, split_into_events
from stepwell.errors import UnstorableError
from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import Journal
from stepwell.journal.null_journal import NullJournal
from stepwell.media.base import Keep, Media, file_reference
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import Event, LogBatch, MediaChunk
from stepwell_schemas.limits import MEDIA_CHUNK_BYTES, MIB
from stepwell_schemas.rules.kinds import Kind
from support.readers.journals import read_items

_INFO = JournalInfo("e", "p", "r", "session", "")


class _File(Media):
    kind = Kind.HTML

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, keep: Keep) -> dict[str, Any]:
        if self._data == b"bad":
            raise UnstorableError("must not be bad")
        return {**file_reference(keep, self._data, "text/html"), "caption": "c"}


class _Picture(_File):
    kind = Kind.IMAGE


class _Gone(Media):
    kind = Kind.IMAGE

    def take(self, keep: Keep) -> dict[str, Any]:
        return file_reference(keep, Path("/nowhere/gone.png").read_bytes(), "image/png")


@contextmanager
def _logging(max_bytes: int = 64 * MIB, media_max_bytes: int = 16 * MIB) -> Iterator[tuple[RowWriter, Journal]]:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "j.journal", _INFO, max_bytes, "drop")
        yield RowWriter(journal, 0, "r", media_max_bytes), journal
        journal.release()


def _events(journal: Journal) -> list[Event]:
    sent = list(encode_events(split_into_events(read_items(journal)), _INFO, 0))
    assert not [one.error for one in sent if one.error]
    return [decode(one.payload) for one in sent]


def _cells(events: list[Event]) -> list[tuple[str, str, Any]]:
    blocks = [block for event in events if isinstance(event, LogBatch) for block in event.blocks]
    return [(key, str(block.kind), json.loads(text)) for block in blocks for key in block.keys for text in block.texts]


@pytest.mark.parametrize("size", [0, 5, MEDIA_CHUNK_BYTES, 2 * MEDIA_CHUNK_BYTES + 1])
def test_a_file_travels_in_pieces_before_its_row(size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    with _logging() as (log, journal):
        log.log({"page": _File(data)}, None, None)
        *media_records, row = _events(journal)
    sha256 = hashlib.sha256(data).hexdigest()
    assert all(isinstance(piece, MediaChunk) for piece in media_records)
    chunks = [piece for piece in media_records if isinstance(piece, MediaChunk)]
    assert b"".join(chunk.data for chunk in chunks) == data
    assert [(chunk.index, chunk.sequence) for chunk in chunks] == [(at, at) for at in range(len(chunks))]
    assert {(c.sha256, c.count, c.size, c.content_type) for c in chunks} == {(sha256, len(chunks), size, "text/html")}
    assert row.sequence == len(chunks)
    reference = {"sha256": sha256, "size": size, "content_type": "text/html", "caption": "c"}
    assert _cells([row]) == [("page", "html", reference)]


def test_a_file_travels_once_a_session() -> None:
    with _logging() as (log, journal):
        for _ in range(3):
            log.log({"a": _File(b"same"), "b": _File(b"same")}, None, None)
        assert [type(event).__name__ for event in _events(journal)] == ["MediaChunk", "LogBatch"]
        assert (log.rows, log.points) == (3, 6)


def test_a_list_of_one_kind_is_one_value() -> None:
    with _logging() as (log, journal):
        one, two = _File(b"1"), _File(b"2")
        log.log({"two": [one, two], "mixed": [one, _Picture(b"3")], "with": [one, 3]}, None, None)
        cells = _cells(_events(journal))
    assert [(key, [item["size"] for item in value["items"]]) for key, _, value in cells] == [("two", [1, 1])]
    assert log.rejected == 2


def test_what_cannot_be_stored_is_reported_and_the_rest_logged(capfd: pytest.CaptureFixture[str]) -> None:
    with _logging(media_max_bytes=10) as (log, journal):
        log.log({"bad": _File(b"bad"), "gone": _Gone(), "large": _File(b"x" * 11), "ok": _File(b"ok")}, None, None)
        assert [key for key, *_ in _cells(_events(journal))] == ["ok"]
    assert log.rejected == 3
    said = capfd.readouterr().err
    lines = said.splitlines()
    expected = [("'bad' (_File)", "must not be bad"), ("'gone' (_Gone)", "/nowhere/gone.png")]
    expected += [("'large' (_File)", "11 bytes"), ("'large' (_File)", "STEPWELL_MEDIA_MAX_BYTES")]
    for value, reason in expected:
        assert len([line for line in lines if value in line and reason in line]) == 1, (value, reason)


@pytest.mark.parametrize("size", [2 * MIB, 3 * MIB])
def test_a_file_without_room_drops_its_row_and_nothing_else(size: int) -> None:
    with _logging(max_bytes=2 * MIB) as (log, journal):
        log.log({"file": _File(b"x" * size), "loss": 1.0}, None, None)
        assert (journal.dropped, journal.sequence) == (1, 0)
        log.log({"file": _File(b"small"), "loss": 1.0}, None, None)
        assert len(_cells(_events(journal))) == 1
    assert log.rows == 1


def test_a_disabled_run_takes_media_of_any_size() -> None:
    log = RowWriter(NullJournal(_INFO), 0, "r")
    log.log({"file": _File(b"x" * 3 * MIB), "loss": 1.0}, None, None)
    assert (log.rows, log.current) == (1, 1)


def test_a_file_larger_than_the_bound_never_waits_for_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.journal", _INFO, MIB, "block")
    journal.sender_alive = True
    RowWriter(journal, 0, "r").log({"file": _File(b"x" * 2 * MIB)}, None, None)
    journal.close()
    assert (journal.dropped, journal.sequence) == (1, 0)
