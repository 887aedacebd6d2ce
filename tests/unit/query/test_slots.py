"""Places for statements: shares, the queue's order and bounds, and clients that leave."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.errors import TooBusyError
from stepwell_query.slots import SlotLimits, StatementSlots
from support.fakes.held_work import HeldWork, turn

pytestmark = pytest.mark.anyio
BOUNDS = SlotLimits(running=3, running_per_client=2, waiting=4, waiting_per_client=3, wait_seconds=30.0)


class Clients(HeldWork):
    """Statements that run until they are ended."""

    def __init__(self, bounds: SlotLimits = BOUNDS) -> None:
        super().__init__()
        self.slots = StatementSlots(bounds)

    async def start(self, name: str) -> None:
        """Start a statement; its client is the first letter of its name."""
        await self.begin(name, self.slots.acquire(name[0]))

    async def leave(self, name: str) -> None:
        self.tasks[name].cancel()
        await turn()

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def test_one_client_never_has_all_places() -> None:
    clients = Clients()
    for name in ("a1", "a2", "a3", "b1"):
        await clients.start(name)
    assert clients.running == ["a1", "a2", "b1"]
    await clients.start("b2")
    await clients.end("a1")
    assert clients.running == ["a2", "b1", "a3"]
    await clients.end("a2")
    assert clients.running == ["b1", "a3", "b2"]
    await clients.close()


async def test_who_left_is_not_waited_for() -> None:
    clients = Clients()
    for name in ("a1", "a2", "b1", "c1", "c2"):
        await clients.start(name)
    await clients.leave("c1")
    await clients.leave("a1")
    assert clients.running == ["a2", "b1", "c2"]
    await clients.close()


async def test_a_full_queue_refuses() -> None:
    clients = Clients()
    for name in ("a1", "a2", "b1", "a3", "a4", "a5", "a6"):
        await clients.start(name)
    assert refused(clients.tasks["a6"])
    await clients.start("b2")
    await clients.start("c1")
    assert refused(clients.tasks["c1"])
    await clients.close()


async def test_a_wait_has_an_end() -> None:
    clients = Clients(SlotLimits(1, 1, 4, 4, wait_seconds=0.01))
    await clients.start("a1")
    await clients.start("b1")
    await asyncio.wait([clients.tasks["b1"]])
    assert refused(clients.tasks["b1"])
    await clients.end("a1")
    await clients.start("c1")
    assert clients.running == ["c1"]
    await clients.close()


def refused(task: asyncio.Task[None]) -> bool:
    return isinstance(task.exception(), TooBusyError)


@given(st.lists(st.tuples(st.sampled_from(["start", "end", "leave"]), st.integers(0, 14)), max_size=60))
def test_no_place_is_lost_or_given_twice(acts: list[tuple[str, int]]) -> None:
    async def play() -> None:
        clients = Clients()
        for act, number in acts:
            name = f"{'abc'[number % 3]}{number}"
            if act == "start" and name not in clients.tasks:
                await clients.start(name)
            elif act != "start" and name in clients.tasks:
                await (clients.end(name) if act == "end" else clients.leave(name))
            shares = Counter(name[0] for name in clients.running)
            waiting = [name for name, task in clients.tasks.items() if not task.done() and name not in clients.running]
            assert len(clients.running) <= BOUNDS.running
            assert all(share <= BOUNDS.running_per_client for share in shares.values())
            # A place stays free only if each that waits has its share.
            if len(clients.running) < BOUNDS.running:
                assert all(shares[name[0]] == BOUNDS.running_per_client for name in waiting)
        await clients.close()
        assert not clients.slots._running

    asyncio.run(play())
