"""Statements on the embedded engine from an event loop: they run in threads, and are killed on cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from stepwell_deploy.clickhouse_server.execute import Answer, Killer, run
from stepwell_deploy.clickhouse_server.guests import Limits, VisibleRows
from stepwell_deploy.clickhouse_server.request import Request
from stepwell_query.sql.scope import RowScope
from stepwell_schemas.clickhouse.store import connect

T = TypeVar("T")
_KILL_SECONDS: Final = 0.1
_END: Final[Any] = object()


class Engine:
    """An engine's folder, the threads that run its statements, and a connection that kills statements.

    `database` has the public views.
    """

    def __init__(self, folder: Path, limits: Limits, threads: int, database: str) -> None:
        self.folder = folder
        self.database = database
        self.limits = limits
        self.threads = ThreadPoolExecutor(threads, "clickhouse-http")
        # Locks the folder, or raises our own error; keeps the engine alive between requests.
        self.store = connect(f"chdb://{folder.resolve()}", "default", pool_size=1)
        self._killer = Killer(folder)
        self._kills = ThreadPoolExecutor(1, "clickhouse-kill")
        self._lock = threading.Lock()
        self._running: set[str] = set()

    def in_thread(self, function: Callable[[], T], mark: str) -> asyncio.Future[T]:
        """Call a function in a thread that runs a statement with a mark."""
        with self._lock:
            self._running.add(mark)

        def called() -> T:
            try:
                return function()
            finally:
                with self._lock:
                    self._running.discard(mark)

        return asyncio.get_running_loop().run_in_executor(self.threads, called)

    async def kill(self, mark: str, future: asyncio.Future[Any]) -> None:
        """Kill a statement repeatedly until its thread has ended, since it may not have started at first."""
        loop = asyncio.get_running_loop()
        while not future.done():
            await loop.run_in_executor(self._kills, self._killer.kill, mark)
            await asyncio.wait({future}, timeout=_KILL_SECONDS)
        if not future.cancelled():
            # Retrieve the error, so that asyncio does not report it as unhandled.
            future.exception()

    def close(self) -> None:
        """End running statements, and release the engine."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        ended = threading.Event()
        while running := self._still_running():
            for mark in running:
                self._killer.kill(mark)
            ended.wait(_KILL_SECONDS)
        self.threads.shutdown()
        self._kills.shutdown()
        self._killer.close()
        self.store.close()

    def _still_running(self) -> list[str]:
        # A function that was cancelled before it began has not removed its mark.
        with self._lock:
            alive = any(thread.name.startswith("clickhouse-http_") for thread in threading.enumerate())
            return list(self._running) if alive else []


class Statement:
    """One statement, from its start to the end of its answer; leaving the block ends it."""

    def __init__(self, engine: Engine, mark: str) -> None:
        self._engine = engine
        self._mark = mark
        self._answer: Answer | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._answer is not None:
            # Runs also if the task was cancelled. The call is short, since the statement has ended or was killed.
            await asyncio.shield(self._engine.in_thread(self._answer.close, self._mark))

    async def run(self, parsed: Callable[[], Request], writer: bool, scope: RowScope | None = None) -> Answer:
        """Parse a request and run its statement, in a thread, on the rows of a scope.

        Raises:
            StatementError: with the engine's code, or when the request can't be parsed or may not run.
        """
        engine = self._engine

        def started() -> Answer:
            rows = None if scope is None else VisibleRows(scope, engine.store, engine.database)
            self._answer = run(engine.folder, parsed(), writer, engine.limits, self._mark, rows)
            return self._answer

        return await self._unless_cancelled(started)

    async def blocks(self, encoded: Callable[[bytes], bytes]) -> AsyncIterator[bytes]:
        """Yield the encoded blocks of the answer as they are produced. Raises: RuntimeError if the engine fails."""
        assert self._answer is not None  # noqa: S101 - `run` came first
        blocks: Iterator[bytes] = iter(self._answer.body)  # type: ignore[arg-type]

        def following() -> Any:
            block = next(blocks, _END)
            return block if block is _END else encoded(block)

        while (block := await self._unless_cancelled(following)) is not _END:
            if block:
                yield block

    async def _unless_cancelled(self, function: Callable[[], T]) -> T:
        future = self._engine.in_thread(function, self._mark)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            with suppress(asyncio.CancelledError):
                await self._engine.kill(self._mark, future)
            raise
