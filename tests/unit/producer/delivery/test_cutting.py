"""Cutting: each record is in one event, events fit where a cut can help, and placeholders keep number and step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.delivery.batching import EventContent, split_into_events
from stepwell.delivery.cutting import cut_refused, encode_to_fit, halves, placeholder
from stepwell.delivery.set_aside import set_aside
from stepwell.journal.folders import remove_journal
from stepwell.journal.format import JournalInfo
from stepwell.journal.items import MediaRecord, MetaEvent
from stepwell.journal.journal import Journal
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import LogBatch, RunStarted, RunUpdated
from stepwell_schemas.limits import MIB
from support.readers.journals import read_items

INFO = JournalInfo("e", "p", "r", "session", "w")
MIXED = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "b", "c"]), st.one_of(st.floats(), st.integers(), st.text(max_size=20)), min_size=1
    ),
    min_size=1,
    max_size=30,
)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    journal = Journal(tmp_path / "j.journal", INFO, 64 * MIB, "drop")
    yield journal
    journal.release()


def read_contents(journal: Journal) -> list[EventContent]:
    """Return the journal's records as events."""
    return list(split_into_events(read_items(journal)))


@given(MIXED, st.integers(1, 2_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_every_record_is_sent_once_and_fits_if_a_cut_can_help(
    tmp_path: Path, rows: list[dict[str, object]], room: int
) -> None:
    path = tmp_path / "h.journal"
    remove_journal(path)
    journal = Journal(path, INFO, 64 * MIB, "drop")
    writer = RowWriter(journal, 0, "r")
    for row in rows:
        writer.log(row, None, None)
    following = 0
    for event in encode_to_fit(read_contents(journal), INFO, 0, room):
        decoded = decode(event.payload)
        assert (event.sequence, decoded.sequence, event.error) == (following, following, "")
        assert len(event.payload) <= room or decoded.records == 1
        following = event.after.sequence
        assert following == decoded.sequence + decoded.records
    assert following == len(rows)
    journal.release()


def test_halves_are_smaller_and_whole(journal: Journal) -> None:
    rows = RowWriter(journal, 0, "r")
    for row in range(7):
        rows.log({"a": row / 7} if row % 2 else {"text": "x"}, None, None)
    (content,) = read_contents(journal)
    parts = halves(content)
    assert [part.rows for part in parts] == [4, 3]
    assert parts[-1].after == content.after


def test_a_refused_batch_is_cut_and_a_refused_row_gives_way_to_its_placeholder(
    journal: Journal, tmp_path: Path
) -> None:
    rows = RowWriter(journal, 0, "r")
    rows.log({"a": 1.5, "flag": True, "n": 2**60}, 5, True)
    rows.log({"a": 2.5}, None, None)
    (event,) = encode_to_fit(read_contents(journal), INFO, 10, MIB)
    first, second = cut_refused(event, INFO, MIB, "too large")
    assert (first.sequence, first.after.sequence, second.after.sequence) == (10, 11, 12)
    (instead,) = cut_refused(first, INFO, MIB, "too large")
    assert (instead.sequence, instead.after, instead.error) == (10, first.after, "too large")
    batch = decode(instead.payload)
    assert isinstance(batch, LogBatch)
    assert (batch.rows, batch.blocks, batch.writer) == (1, [], "w")
    assert batch.steps is not None
    assert np.frombuffer(batch.steps, "<i8").tolist() == [5]
    set_aside(instead, tmp_path / "kept")
    assert '"values": {"a": 1.5, "flag": true, "n": 1152921504606846976}' in (tmp_path / "kept").read_text()


def test_a_start_without_its_config_still_starts_the_run() -> None:
    start = {"event": "RunStarted", "timestamp": 1, "writer": "w", "config": {"x": "y" * 5_000}}
    event = placeholder(EventContent([MetaEvent(start, 100)], 0, 100), INFO, 3, "too large")
    decoded = decode(event.payload)
    assert isinstance(decoded, RunStarted)
    assert (decoded.config, decoded.writer, decoded.sequence, decoded.timestamp) == ("{}", "w", 3, 1)


@pytest.mark.parametrize("item", [MediaRecord({"sha256": "0" * 64}, b"x", 9), MetaEvent({"event": "Unknown"}, 9)])
def test_other_records_give_way_to_an_event_that_changes_nothing(item: MediaRecord | MetaEvent) -> None:
    event = placeholder(EventContent([item], 0, 9), INFO, 3, "too large")
    assert decode(event.payload) == RunUpdated(entity="e", project="p", run_id="r", session="session", sequence=3)


def test_a_record_that_cannot_be_encoded_costs_none_of_its_neighbours(journal: Journal) -> None:
    rows = RowWriter(journal, 0, "r")
    for row in range(5):
        rows.log({"text": str(row)}, None, None)
    (content,) = read_contents(journal)
    content.items[2].row["d"]["text"] = ["no such kind", 1]  # type: ignore[union-attr]
    events = list(encode_to_fit([content], INFO, 0, MIB))
    assert [event.sequence for event in events if event.error] == [2]
    assert sum(decode(event.payload).records for event in events) == 5
