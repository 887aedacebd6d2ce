"""Slots for running statements: first in, first out, with a limit per client and a bounded queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from stepwell_query.errors import TooBusyError


@dataclass(frozen=True, slots=True)
class SlotLimits:
    """Limits of statements that run concurrently and that wait for a slot, in total and per client address.

    One address can't occupy all slots, so that a statement of another address starts as soon as a slot is free.
    """

    running: int
    running_per_client: int
    waiting: int
    waiting_per_client: int
    wait_seconds: float


@dataclass(eq=False, slots=True)
class _Waiter:
    client: str
    admitted: asyncio.Future[None]


class StatementSlots:
    """Admits statements; used from one event loop only."""

    def __init__(self, bounds: SlotLimits) -> None:
        self._bounds = bounds
        self._running: Counter[str] = Counter()
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def acquire(self, client: str) -> AsyncIterator[None]:
        """Hold a slot within the block; a task that is cancelled while it waits leaves the queue.

        Raises:
            TooBusyError: when the queue is full, or no slot became free in time.
        """
        await self._enter(client)
        try:
            yield
        finally:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]
            self._admit()

    async def _enter(self, client: str) -> None:
        bounds = self._bounds
        waiting = sum(waiter.client == client for waiter in self._waiting)
        if self._has_slot(client) and not waiting:
            self._running[client] += 1
            return
        if len(self._waiting) >= bounds.waiting or waiting >= bounds.waiting_per_client:
            raise TooBusyError(f"{len(self._waiting)} statements are already waiting")
        waiter = _Waiter(client, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(bounds.wait_seconds):
                await waiter.admitted
        except TimeoutError:
            self._leave(waiter)
            raise TooBusyError(f"no slot became free within {bounds.wait_seconds:g} seconds") from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: _Waiter) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif not waiter.admitted.cancelled():
            # Admitted in the same iteration of the event loop: the slot goes to the next waiter.
            self._running[waiter.client] -= 1
            self._admit()

    def _admit(self) -> None:
        for waiter in list(self._waiting):
            if self._has_slot(waiter.client):
                self._waiting.remove(waiter)
                if not waiter.admitted.done():
                    self._running[waiter.client] += 1
                    waiter.admitted.set_result(None)

    def _has_slot(self, client: str) -> bool:
        bounds = self._bounds
        return self._running.total() < bounds.running and self._running[client] < bounds.running_per_client
