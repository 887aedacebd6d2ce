"""The buffer of a partition between Kafka and a flush."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.flush.buffer import PartitionBuffer
from stepwell_ingestor.flush.policy import FlushPolicy
from stepwell_ingestor.messages import Message

POLICY = FlushPolicy(max_bytes=6_000, max_seconds=0.5)


def messages(first: int, count: int, size: int = 10) -> list[Message]:
    """Return messages of consecutive offsets."""
    return [Message(offset, 0, None, bytes(size)) for offset in range(first, first + count)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=12))
def test_portions_are_what_came_in_order_and_nothing_stays(arrivals: list[tuple[int, int]]) -> None:
    buffer = PartitionBuffer()
    came: list[Message] = []
    taken: list[Message] = []
    for now, (count, size) in enumerate(arrivals):
        batch = messages(len(came), count, size)
        came += batch
        buffer.add(batch, float(now))
    while not buffer.is_empty:
        portion = buffer.next_flush(POLICY)
        assert portion.end == portion.messages[-1].offset + 1
        taken += portion.messages
        buffer.settle(portion, 0.0)
        assert buffer.next_offset == portion.end
    assert taken == came
    assert buffer.bytes == 0


def test_age_counts_from_the_oldest_message() -> None:
    buffer = PartitionBuffer()
    buffer.add(messages(0, 1), 1.0)
    buffer.add(messages(1, 1), 1.4)
    assert not buffer.is_due(POLICY, 2, 1.4)
    assert buffer.is_due(POLICY, 2, 1.5)


def test_a_plan_takes_exactly_its_offsets_once_all_of_them_were_read() -> None:
    buffer = PartitionBuffer(start=5, planned_end=9)
    buffer.add(messages(5, 2, 80), 0.0)
    assert not buffer.is_due(POLICY, 7, 99.0), "half a plan waits, however old or large"
    buffer.add(messages(7, 4), 0.0)
    assert buffer.is_due(POLICY, 11, 0.0)
    portion = buffer.next_flush(POLICY)
    assert ([m.offset for m in portion.messages], portion.end, portion.planned) == ([5, 6, 7, 8], 9, True)
    buffer.settle(portion, 0.0)
    assert not buffer.next_flush(POLICY).planned


@pytest.mark.parametrize("first", [6, 9, 20])
def test_a_plan_that_the_log_no_longer_holds_is_an_error(first: int) -> None:
    buffer = PartitionBuffer(start=5, planned_end=9)
    buffer.add(messages(first, 10), 0.0)
    with pytest.raises(PlanError, match=r"planned flush \[5, 9\)"):
        buffer.next_flush(POLICY)
