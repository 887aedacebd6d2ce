"""The queue of reads: its bound, its order, and reads that leave it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.read_queue import ReadQueue
from support.fakes.held_work import HeldWork, turn

pytestmark = pytest.mark.anyio


class Reads(HeldWork):
    """Reads that run until they are ended, at times that a test sets."""

    def __init__(self, running: int) -> None:
        super().__init__()
        self.now = 0.0
        self.queue = ReadQueue(running, lambda: self.now)

    async def start(self, name: str, seconds: float = 0.0) -> None:
        await self.begin(name, self.queue.slot(seconds))

    async def drain(self) -> None:
        while self.running:
            await self.end(self.running[0])
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def test_reads_of_equal_length_are_admitted_in_order_and_a_bounded_number_runs() -> None:
    reads = Reads(2)
    for name in "abcd":
        await reads.start(name)
    assert reads.running == ["a", "b"]
    await reads.drain()
    assert reads.started == list("abcd")


async def test_a_short_read_comes_before_a_longer_one_that_waits() -> None:
    reads = Reads(1)
    await reads.start("running")
    await reads.start("long", 5)
    await reads.start("short", 0.1)
    await reads.drain()
    assert reads.started == ["running", "short", "long"]


async def test_a_long_read_comes_before_short_ones_that_arrive_after_its_seconds() -> None:
    reads = Reads(1)
    await reads.start("running")
    await reads.start("long", 5)
    reads.now = 4.0
    await reads.start("early", 0.1)
    reads.now = 5.0
    await reads.start("late", 0.1)
    await reads.drain()
    assert reads.started == ["running", "early", "long", "late"]


async def test_a_read_that_leaves_the_queue_is_not_admitted() -> None:
    reads = Reads(1)
    for name in "abc":
        await reads.start(name)
    reads.tasks["b"].cancel()
    await turn()
    await reads.drain()
    assert reads.started == ["a", "c"]


async def test_the_slot_of_a_read_that_leaves_while_it_is_admitted_goes_to_the_next() -> None:
    reads = Reads(1)
    async with reads.queue.slot():
        await reads.start("left")
        await reads.start("next")
    reads.tasks["left"].cancel()
    await turn()
    assert reads.running == ["next"]
    await reads.drain()


@given(st.data(), st.integers(1, 3))
async def test_no_slot_is_lost_or_given_twice(data: st.DataObject, running: int) -> None:
    reads = Reads(running)
    for number in range(data.draw(st.integers(0, 12))):
        await reads.start(f"{number}", data.draw(st.sampled_from([0.0, 0.5, 3.0])))
        reads.now += 0.25
        assert len(reads.running) <= running
        waiting = [name for name, task in reads.tasks.items() if not task.done() and name not in reads.running]
        assert not waiting or len(reads.running) == running
        act = data.draw(st.sampled_from(["wait", "end", "leave", "both"]))
        if act in {"end", "both"} and reads.running:
            reads._ends[min(reads.running)].set()
        if act in {"leave", "both"} and waiting:
            reads.tasks[waiting[0]].cancel()
        await turn()
    await reads.drain()
    for number in range(running + 1):
        await reads.start(f"last {number}")
    assert len(reads.running) == running
    await reads.drain()
