"""Logs that lost their end under a running consumer."""

from __future__ import annotations

import pytest

from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.messages import NO_LEADER_EPOCH, Message
from stepwell_ingestor.positions.checksums import boundary_after
from stepwell_ingestor.positions.cuts import has_later_leader, is_cut, last_boundary, latest_leader
from stepwell_ingestor.positions.models import LogPosition

LAST = Message(9, 1_000, b"k", b"v")
STORED = LogPosition("events", 0, LogIdentity("c", "t", 1), "begun").advance(10, boundary_after(LAST), holds_rows=True)
WHOLE = LogExtent(0, 12)


def appended_by(*leaders: int) -> list[Message]:
    return [Message(offset, 0, None, b"", leader_epoch=leader) for offset, leader in enumerate(leaders)]


@pytest.mark.parametrize(
    ("known", "leaders", "later"),
    [
        (3, [3, 3], False),
        (3, [4], True),
        (3, [3, 4], False),  # one fetch is one view of the log
        (3, [2], False),
        (3, [], False),
        (NO_LEADER_EPOCH, [4], False),  # nothing was read that could have been lost
        (3, [NO_LEADER_EPOCH], False),
    ],
)
def test_a_later_leader_may_have_cut_the_log(known: int, leaders: list[int], later: bool) -> None:
    assert has_later_leader(known, appended_by(*leaders)) is later


def test_the_latest_leader_is_that_of_the_last_record() -> None:
    assert latest_leader(3, []) == 3
    assert latest_leader(3, appended_by(3, 4)) == 4
    assert latest_leader(5, appended_by(3, 4)) == 5
    assert latest_leader(NO_LEADER_EPOCH, appended_by(0)) == 0


@pytest.mark.parametrize(
    ("extent", "record", "cut"),
    [
        (WHOLE, LAST, False),
        (LogExtent(9, 10), LAST, False),
        (WHOLE, LAST._replace(value=b"other"), True),
        (WHOLE, LAST._replace(timestamp=1_001), True),
        (WHOLE, LAST._replace(offset=10), True),  # the offset holds a marker of a transaction by now
        (WHOLE, None, True),
        (LogExtent(0, 9), None, True),
        (LogExtent(10, 12), LAST._replace(offset=10), False),  # removed by retention
    ],
)
def test_a_log_was_cut_if_it_has_another_record_where_the_stored_one_was(
    extent: LogExtent, record: Message | None, cut: bool
) -> None:
    assert is_cut(STORED, extent, record) is cut


def test_the_last_boundary_is_one_that_the_log_can_have() -> None:
    assert last_boundary(STORED, WHOLE) == boundary_after(LAST)
    assert last_boundary(STORED, LogExtent(10, 12)) is None
    assert last_boundary(STORED, LogExtent(0, 9)) is None
    nothing_stored = LogPosition("events", 0, LogIdentity("c", "t", 1), "begun", first=10, end=10)
    assert last_boundary(nothing_stored, WHOLE) is None
    assert not is_cut(nothing_stored, WHOLE, None)
