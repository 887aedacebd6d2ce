"""The queue of requests that read from ClickHouse: short ones first, without leaving long ones waiting forever."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count


class ReadQueue:
    """Admits at most `running` reads; used from one event loop only.

    A read waits as if it had arrived later by the seconds that it is expected to take. Shorter reads that arrive within
    these seconds come before it, and no others: reads of equal length are admitted in the order of their arrival.

    Args:
        running: number of reads that run concurrently.
        clock: returns seconds.
    """

    def __init__(self, running: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = running
        self._clock = clock
        self._numbers = count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def slot(self, expected_seconds: float = 0.0) -> AsyncIterator[None]:
        """Hold a slot within the block; a task that is cancelled while it waits leaves the queue."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(expected_seconds)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, expected_seconds: float) -> None:
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self._clock() + expected_seconds, next(self._numbers), admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                # Admitted in the same iteration of the event loop: the slot goes to the next read.
                self._release()
            raise

    def _release(self) -> None:
        """Give a slot to the first of the reads that still wait."""
        while self._waiting:
            _, _, admitted = heapq.heappop(self._waiting)
            if not admitted.done():
                admitted.set_result(None)
                return
        self._free += 1
