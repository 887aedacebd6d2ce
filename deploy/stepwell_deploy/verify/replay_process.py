"""A replay in a separate process, since the embedded engine opens one folder per process.

The process ends with the `with` block, and its scratch folder is removed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Concatenate, Final, ParamSpec, Self, TypeVar

from stepwell_ingestor.settings import IngestorSettings
from stepwell_ingestor.verify.replay import Replay
from stepwell_schemas.rules.identifiers import RunPath

P = ParamSpec("P")
T = TypeVar("T")

_SCRATCH: Final = "engine"
# State of the child process: its replay, and the event loop of its clients.
_opened: Final[list[tuple[asyncio.Runner, Replay]]] = []


class ReplayProcess:
    """A `Replay` in a child process. Exceptions of its methods are raised in the parent."""

    def __init__(self, settings: IngestorSettings, run: RunPath, session_ends: Mapping[str, int]) -> None:
        self._arguments = settings, run, dict(session_ends)

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="stepwell-replay-")
        # Spawned, not forked: threads and a running engine of this process would not survive a fork.
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        settings, run, session_ends = self._arguments
        try:
            self._pool.submit(_open, settings, run, Path(self._folder.name) / _SCRATCH, session_ends).result()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # A child that died has nothing to close.
        with suppress(BrokenProcessPool):
            self._pool.submit(_close).result()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._folder.cleanup()

    def ask(self, method: Callable[Concatenate[Replay, P], Awaitable[T]], *args: P.args, **named: P.kwargs) -> T:
        """Call a method of the replay in the child, and return its result."""
        return self._pool.submit(_call, method, args, named).result()


def _open(settings: IngestorSettings, run: RunPath, folder: Path, session_ends: Mapping[str, int]) -> None:
    # aiokafka's log lines about brokers repeat the errors that reach the parent.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    runner = asyncio.Runner()

    async def open_replay() -> Replay:
        replay = Replay(settings, run, folder, session_ends)
        _opened.append((runner, replay))
        await replay.open()
        return replay

    runner.run(open_replay())


def _call(method: Callable[..., Awaitable[T]], args: tuple[object, ...], named: Mapping[str, object]) -> T:
    runner, replay = _opened[0]

    async def call() -> T:
        return await method(replay, *args, **named)

    return runner.run(call())


def _close() -> None:
    while _opened:
        runner, replay = _opened.pop()
        runner.run(replay.close())
        runner.close()
