"""The order in which the records of several partitions are copied."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_deploy.errors import MoveError
from stepwell_deploy.moving.move import StoredPartition, first_offsets, require_no_writers
from stepwell_deploy.moving.order import RecordMark, merge_order
from stepwell_ingestor.kafka.log_metadata import LogExtent

SENT = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 20)), max_size=30)
"""Records in the order in which they were sent: their session, the partition it writes to from now on, their time."""


def taken(partitions: dict[int, list[RecordMark]]) -> list[RecordMark]:
    """Return the records in the order of a copy."""
    heads = dict.fromkeys(partitions, 0)
    records = []
    for number in merge_order(partitions):
        records.append(partitions[number][heads[number]])
        heads[number] += 1
    assert heads == {number: len(marks) for number, marks in partitions.items()}
    return records


def test_the_earlier_record_comes_first() -> None:
    first, second, third = (RecordMark(time) for time in (1, 2, 3))
    assert taken({0: [first, third], 1: [second]}) == [first, second, third]


def test_a_session_that_moved_is_copied_in_its_own_order_whatever_the_clocks_say() -> None:
    old = [RecordMark(9, "s", 0), RecordMark(9, "s", 5)]
    new = [RecordMark(1, "s", 7), RecordMark(1, "s", 8)]
    assert [mark.sequence for mark in taken({0: old, 2: new})] == [0, 5, 7, 8]


def test_a_session_waits_for_a_partition_that_waits_for_a_third() -> None:
    partitions = {
        0: [RecordMark(1, "a", 1)],
        1: [RecordMark(5, "b", 1), RecordMark(5, "a", 0)],
        2: [RecordMark(9, "b", 0)],
    }
    assert taken(partitions) == [partitions[2][0], *partitions[1], partitions[0][0]]


def test_a_circle_of_sessions_ends() -> None:
    partitions = {
        0: [RecordMark(1, "a", 1), RecordMark(1, "b", 0)],
        1: [RecordMark(1, "b", 1), RecordMark(1, "a", 0)],
    }
    assert len(taken(partitions)) == 4


@given(SENT)
def test_sessions_keep_their_order_and_so_do_partitions(sent: list[tuple[str, int, int]]) -> None:
    partitions: dict[int, list[RecordMark]] = {number: [] for number in range(4)}
    numbers: dict[str, int] = defaultdict(int)
    for session, partition, timestamp in sent:
        partitions[partition].append(RecordMark(timestamp, session, numbers[session]))
        numbers[session] += 1
    records = taken(partitions)
    for session, count in numbers.items():
        assert [mark.sequence for mark in records if mark.session == session] == list(range(count))
    for marks in partitions.values():
        places = [records.index(mark) for mark in marks]
        assert places == sorted(places)


EXTENTS = {0: LogExtent(0, 9), 1: LogExtent(5, 9), 2: LogExtent(0, 3)}


def test_a_copy_begins_at_the_stored_ends() -> None:
    stored = {0: StoredPartition(4, "id", 2), 1: StoredPartition(2, "id", 2)}
    assert first_offsets(EXTENTS, "events", "id", stored) == {0: 4, 1: 5, 2: 0}


@pytest.mark.parametrize(
    "stored",
    [{}, {0: StoredPartition(4, "id", 3)}, {0: StoredPartition(4, "another", 2)}],
    ids=["nothing stored", "nothing added", "another log"],
)
def test_a_topic_that_ingestors_read_is_not_copied(stored: dict[int, StoredPartition]) -> None:
    with pytest.raises(MoveError):
        first_offsets(EXTENTS, "events", "id", stored)


def test_producers_that_still_write_are_noticed() -> None:
    require_no_writers("events", "other", EXTENTS, {**EXTENTS, 1: LogExtent(7, 9)})
    with pytest.raises(MoveError):
        require_no_writers("events", "other", EXTENTS, {**EXTENTS, 2: LogExtent(0, 4)})
