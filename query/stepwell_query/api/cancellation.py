"""Blocking work that ends when its client disconnects.

A thread can't be cancelled. Each function here therefore takes `cancel`, which makes the blocking call end soon, for
example by killing its ClickHouse statement. It is repeated until the call has returned, since it has no effect on a
statement that is sent, but has not begun:

    running ── call returns ─────────────────────────────────────────────────► result
       │
       └── client disconnects, or task is cancelled ─► `cancel` in another thread ─► call returns ─► ClientGoneError,
                                                              ▲            │                         or cancellation
                                                              └── 0.1 s ───┘
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import structlog
from fastapi import Request
from prometheus_client import Counter
from starlette.responses import StreamingResponse
from starlette.types import Send

from stepwell_query.api.dependencies import Context
from stepwell_query.errors import ClientGoneError
from stepwell_schemas.arrow_pieces import Pieces
from stepwell_schemas.errors import StoreError
from stepwell_schemas.limits import MIB

T = TypeVar("T")
_log = structlog.get_logger("stepwell.query")
_END: Any = object()
# The transport moves the unsent rest within its buffer after each partial write to the socket: chunks are kept small.
_CHUNK_BYTES = MIB // 4
_CANCEL_SECONDS = 0.1


async def run_until_disconnect(
    context: Context,
    request: Request,
    function: Callable[[], T],
    cancel: Callable[[], None],
    expected_seconds: float = 0.0,
) -> T:
    """Call a blocking function in a thread; if the client disconnects first, call `cancel` in other threads.

    The request's body must have been read to its end. `expected_seconds` orders the calls that wait for a thread.
    Raises: ClientGoneError.
    """
    disconnected = False
    call = _Call(function)

    async def watch() -> None:
        nonlocal disconnected
        while (await request.receive())["type"] != "http.disconnect":
            pass
        disconnected = True
        await call.cancel(cancel)

    outcome = await _run_watched(context, watch, call, expected_seconds)
    if disconnected:
        raise ClientGoneError
    return _result(outcome)


def canceller(cancelled: Counter, kill: Callable[[], None]) -> Callable[[], None]:
    """Return a function that ends a request's statements after its client has disconnected, and counts the request.

    `kill` ends those that have begun; a StoreError of it is logged.
    """
    counted = False

    def end() -> None:
        nonlocal counted
        if not counted:
            counted = True
            cancelled.inc()
        try:
            kill()
        except StoreError as error:
            _log.warning("statement_cancel_failed", error=str(error))

    return end


async def iterate_in_threads(context: Context, items: Generator[T], cancel: Callable[[], None]) -> AsyncGenerator[T]:
    """Yield the items of a blocking generator, each taken in a thread; the generator is closed in a thread as well.

    If this is cancelled or closed before the last item, `cancel` is called, which makes the generator end soon.
    """
    complete = False
    try:
        while (item := await _call_unless_cancelled(context, partial(next, items, _END), cancel)) is not _END:
            yield item
        complete = True
    finally:
        with anyio.CancelScope(shield=True):
            if not complete:
                await anyio.to_thread.run_sync(cancel)
            await anyio.to_thread.run_sync(items.close)


async def _call_unless_cancelled(context: Context, function: Callable[[], T], cancel: Callable[[], None]) -> T:
    """Call a blocking function in a thread; if the task is cancelled first, call `cancel` in other threads."""
    call = _Call(function)

    async def watch() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await call.cancel(cancel)

    outcome = await _run_watched(context, watch, call)
    # An error that `cancel` caused is not reported as a failure.
    await anyio.lowlevel.checkpoint_if_cancelled()
    return _result(outcome)


class _Call(Generic[T]):
    """A blocking function that can be cancelled from the event loop while a thread runs it."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._running = self._ended = False

    def __call__(self) -> T:
        self._running = True
        try:
            return self._function()
        finally:
            self._running, self._ended = False, True

    async def cancel(self, cancel: Callable[[], None]) -> None:
        """Call `cancel` unless the function has returned, and again as long as it runs."""
        if not self._ended:
            # Outside of the limiter: the call that `cancel` ends may hold its last token.
            await anyio.to_thread.run_sync(cancel)
        while self._running:
            await anyio.sleep(_CANCEL_SECONDS)
            if self._running:
                await anyio.to_thread.run_sync(cancel)


async def _run_watched(
    context: Context,
    watch: Callable[[], Coroutine[Any, Any, None]],
    function: Callable[[], T],
    expected_seconds: float = 0.0,
) -> T | Exception:
    """Return the outcome of a blocking function; `watch` runs concurrently with it."""
    outcome: list[T | Exception] = []
    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        try:
            # Threads can't be cancelled: this waits until the function has returned or raised.
            outcome.append(await context.in_thread(function, expected_seconds=expected_seconds))
        except Exception as error:
            outcome.append(error)
        group.cancel_scope.cancel()
    return outcome[0]


def _result(outcome: T | Exception) -> T:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class ClosingStreamingResponse(StreamingResponse):
    """A streaming response that closes its generator as soon as the response ends, for whatever reason."""

    def __init__(self, items: AsyncGenerator[Pieces], media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(_in_chunks(items), media_type=media_type, headers=headers)
        self._items = items

    async def stream_response(self, send: Send) -> None:
        """Send the response, then close the generator."""
        async with aclosing(self._items):
            await super().stream_response(send)


async def _in_chunks(items: AsyncGenerator[Pieces]) -> AsyncGenerator[memoryview]:
    async for item in items:
        for piece in item:
            view = memoryview(piece)
            for start in range(0, len(view), _CHUNK_BYTES):
                yield view[start : start + _CHUNK_BYTES]
