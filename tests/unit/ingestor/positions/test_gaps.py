"""Records that retention removed before a running consumer had read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.log_watch import is_overtaken
from stepwell_ingestor.messages import Fault, Message
from stepwell_ingestor.positions.gaps import Gap, count_removed, find_gaps
from stepwell_ingestor.positions.models import LogPosition


def messages(*offsets: int) -> list[Message]:
    return [Message(offset, 0, None, b"") for offset in offsets]


def test_what_follows_without_a_gap_has_none() -> None:
    assert find_gaps(3, messages(3, 4, 5)) == []
    assert find_gaps(3, []) == []


def test_gaps_are_before_and_between_records() -> None:
    assert find_gaps(3, messages(5, 6, 9)) == [Gap(3, 5), Gap(7, 9)]


def test_what_cannot_be_read_is_no_gap() -> None:
    unreadable = Message(9, 0, None, b"", fault=Fault(5, "checksum"))
    assert find_gaps(5, [unreadable, *messages(10)]) == []
    assert find_gaps(3, [unreadable]) == [Gap(3, 5)]


@pytest.mark.parametrize(("begin", "removed"), [(0, 0), (3, 0), (4, 1), (5, 2), (8, 3), (100, 4)])
def test_removed_are_the_offsets_before_the_log(begin: int, removed: int) -> None:
    assert count_removed([Gap(3, 5), Gap(7, 9)], begin) == removed


@given(st.sets(st.integers(0, 40)), st.integers(0, 50))
def test_what_was_read_and_what_was_removed_are_all_before_the_log(read: set[int], begin: int) -> None:
    removed = count_removed(find_gaps(0, messages(*sorted(read))), begin)
    end = max(read, default=-1) + 1
    assert removed == len(set(range(min(begin, end))) - read)


def test_retention_overtakes_an_idle_partition() -> None:
    position = LogPosition("events", 0, LogIdentity("", "", 1), "begun", end=5)
    assert not is_overtaken(position, LogExtent(5, 9))
    assert is_overtaken(position, LogExtent(6, 9))
    assert not is_overtaken(None, LogExtent(6, 9))
