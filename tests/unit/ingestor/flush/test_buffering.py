"""The buffer of a partition between Kafka and a flush."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.flush.buffer import PartitionBuffer
from stepwell_ingestor.flush.policy import FlushPolicy
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.models import PlanMark

POLICY = FlushPolicy(max_bytes=6_000, max_seconds=0.5)
PLAN = PlanMark(9, 0, 0)


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
    buffer = PartitionBuffer(5, PLAN)
    buffer.add(messages(5, 2, 80), 0.0)
    assert not buffer.is_due(POLICY, 7, 99.0), "half a plan waits, however old or large"
    buffer.add(messages(7, 4), 0.0)
    assert buffer.is_due(POLICY, 11, 0.0)
    portion = buffer.next_flush(POLICY)
    assert ([m.offset for m in portion.messages], portion.end, portion.plan) == ([5, 6, 7, 8], 9, PLAN)
    buffer.settle(portion, 0.0)
    assert buffer.next_flush(POLICY).plan is None


@pytest.mark.parametrize("first", [9, 20])
def test_a_plan_without_records_in_the_log_is_void(first: int) -> None:
    buffer = PartitionBuffer(5, PLAN)
    buffer.add(messages(first, 10), 0.0)
    with pytest.raises(PlanError):
        buffer.next_flush(POLICY)


@pytest.mark.parametrize("plan", [PLAN, None])
def test_a_flush_begins_where_the_one_before_ended(plan: PlanMark | None) -> None:
    buffer = PartitionBuffer(5, plan)
    buffer.add(messages(6, 3), 0.0)
    assert buffer.next_flush(POLICY).start == 5


def test_the_next_offset_is_expected_after_what_was_read_or_settled() -> None:
    buffer = PartitionBuffer(5)
    assert buffer.expected == 5
    buffer.add(messages(7, 2), 0.0)
    assert buffer.expected == 9
    buffer.settle(buffer.next_flush(POLICY), 0.0)
    assert buffer.expected == 9
