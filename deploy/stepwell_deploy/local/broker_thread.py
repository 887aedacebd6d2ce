"""The thread that starts and restarts the broker, and lives as long as this process.

The kernel kills the broker when the thread that started it ends, so a worker thread of the event loop can't restart it.
This thread lives until the broker has been stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from stepwell_deploy.local.kafka import LocalKafka, Progress, silent

T = TypeVar("T")


class BrokerThread:
    """Calls a broker's methods in one thread, one after the other."""

    def __init__(self, kafka: LocalKafka) -> None:
        self.kafka = kafka
        self._thread = ThreadPoolExecutor(1, "broker")

    def start(self, progress: Progress = silent) -> None:
        """Start the broker, and wait. Raises: BrokerError, PortInUseError."""
        self._thread.submit(self.kafka.start, progress).result()

    async def restart(self) -> None:
        """Start the broker again. Raises: BrokerError, PortInUseError."""
        await self._call(self.kafka.start)

    async def stop(self, seconds: float) -> bool:
        """Stop the broker; return whether it ended cleanly. It can be restarted."""
        return await self._call(partial(self.kafka.stop, seconds))

    async def end(self, seconds: float) -> bool:
        """Stop the broker for good, also in the middle of a start; return whether it ended cleanly."""
        self.kafka.abort()
        return await self.stop(seconds)

    def close(self, seconds: float) -> None:
        """Stop the broker for good, if it runs, and end the thread."""
        self.kafka.abort()
        self._thread.submit(self.kafka.stop, seconds).result()
        self._thread.shutdown()

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
