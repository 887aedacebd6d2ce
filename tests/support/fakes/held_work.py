"""Work that waits for a place, and holds it until a test ends the work."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager


class HeldWork:
    """Works by name: their tasks, and those that have a place, or have had one, in the order in which they got it."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.started: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, name: str, place: AbstractAsyncContextManager[None]) -> None:
        """Start a work that waits for a place."""
        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._run(name, place))
        await turn()

    async def _run(self, name: str, place: AbstractAsyncContextManager[None]) -> None:
        async with place:
            self.started.append(name)
            self.running.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.running.remove(name)

    async def end(self, name: str) -> None:
        """End a work that has a place."""
        self._ends[name].set()
        await turn()


async def turn() -> None:
    """Let all tasks go as far as they can."""
    for _ in range(6):
        await asyncio.sleep(0)
