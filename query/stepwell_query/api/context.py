"""What every endpoint needs: the settings, the store, and a way to read it without blocking the event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import pyarrow as pa
from fastapi import Depends, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Send

from stepwell_query.api.streams import Streams
from stepwell_query.cache import Cache
from stepwell_query.encoding import MEDIA_TYPES, Format
from stepwell_query.errors import ClientGoneError, RequestError
from stepwell_query.places import Places
from stepwell_query.readiness import Parts, Readiness, no_parts
from stepwell_query.runs.live_updates import LiveUpdates, Position, read_positions
from stepwell_query.settings import QuerySettings
from stepwell_query.sql.execute import place_bounds
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import MIB
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rules.identifiers import RunPath

T = TypeVar("T")
_END: Any = object()
_TABLES_BYTES = 256 * MIB
# What does not fit into the socket is moved within the transport's buffer with each part of it that does.
_SENT_BYTES = MIB // 4
# Of an entry besides its value, about: an empty one takes room too.
_ENTRY_BYTES = 512


class Context:
    """The parts that all requests share: settings, ClickHouse, the media files, news of runs.

    `tables` are those read lately, by their files' SHA-256, and `answers` those about series, by their entity tags.

    At most `query_concurrency` requests read at once; others wait.
    """

    def __init__(self, settings: QuerySettings, store: Store, parts: Parts = no_parts) -> None:
        self.settings = settings
        self.readiness = Readiness(store, parts)
        self.store = store
        self.media = MediaStore(settings.media_url)
        self.changes = LiveUpdates(self._positions)
        self.tables: Cache[pa.Table] = Cache(_TABLES_BYTES, lambda table: table.nbytes + _ENTRY_BYTES)
        self.answers: Cache[bytes] = Cache(settings.query_cache_bytes, lambda answer: len(answer) + _ENTRY_BYTES)
        self.sql_places = Places(place_bounds(settings))
        self.streams = Streams(settings.query_max_streams, settings.query_max_streams_per_client)
        self._limiter = anyio.CapacityLimiter(settings.query_concurrency)

    async def _positions(self, entity: str, project: str) -> dict[str, Position]:
        return await self.in_thread(read_positions, self.store, entity, project)

    async def in_thread(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a blocking function in a thread."""
        return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=self._limiter)

    async def while_wanted(self, request: Request, function: Callable[[], T], gone: Callable[[], None]) -> T:
        """Call a blocking function in a thread; when the client leaves before it ends, call `gone` in another.

        `gone` is to make the function end soon. The request must have been read whole. Raises: ClientGoneError.
        """
        left = False

        async def watch() -> None:
            nonlocal left
            while (await request.receive())["type"] != "http.disconnect":
                pass
            left = True
            # Not behind the limiter: the call that `gone` ends may hold its last place.
            await anyio.to_thread.run_sync(gone)

        outcome = await self._beside(watch, function)
        if left:
            raise ClientGoneError
        return _result(outcome)

    async def each_in_thread(self, items: Generator[T], gone: Callable[[], None]) -> AsyncGenerator[T]:
        """Yield what a blocking generator yields, each item taken in a thread; it is closed at the end, in a thread.

        When this is cancelled, or closed before the end, `gone` is called, which is to make the generator end soon.
        """
        whole = False
        try:
            while (item := await self._unless_cancelled(partial(next, items, _END), gone)) is not _END:
                yield item
            whole = True
        finally:
            with anyio.CancelScope(shield=True):
                if not whole:
                    await anyio.to_thread.run_sync(gone)
                await anyio.to_thread.run_sync(items.close)

    async def _unless_cancelled(self, function: Callable[[], T], gone: Callable[[], None]) -> T:
        """Call a blocking function in a thread; when this is cancelled before it ends, call `gone` in another."""
        ended = False

        def called() -> T:
            nonlocal ended
            try:
                return function()
            finally:
                ended = True

        async def watch() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                if not ended:
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(gone)

        outcome = await self._beside(watch, called)
        # What failed because `gone` ended it is no failure.
        await anyio.lowlevel.checkpoint_if_cancelled()
        return _result(outcome)

    async def _beside(self, watch: Callable[[], Coroutine[Any, Any, None]], function: Callable[[], T]) -> T | Exception:
        """Return how a blocking function ended, while which `watch` ran."""
        outcome: list[T | Exception] = []
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            try:
                # Threads can't be cancelled: it is waited for, however it ends.
                outcome.append(await self.in_thread(function))
            except Exception as error:
                outcome.append(error)
            group.cancel_scope.cancel()
        return outcome[0]


class StreamedResponse(StreamingResponse):
    """A streamed answer whose generator is closed as soon as the answer ends, however it does."""

    def __init__(self, items: AsyncGenerator[bytes], media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(_cut(items), media_type=media_type, headers=headers)
        self._items = items

    async def stream_response(self, send: Send) -> None:
        """Send the answer."""
        async with aclosing(self._items):
            await super().stream_response(send)


def _result(outcome: T | Exception) -> T:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


async def _cut(items: AsyncGenerator[bytes]) -> AsyncGenerator[memoryview]:
    async for item in items:
        whole = memoryview(item)
        for start in range(0, len(whole), _SENT_BYTES):
            yield whole[start : start + _SENT_BYTES]


# Asynchronous though it waits for nothing: FastAPI calls what is not in a thread, which costs more than the work.
async def context_of(request: Request) -> Context:
    """Return the context of the application that answers the request."""
    context: Context = request.app.state.context
    return context


async def run_path(entity: str, project: str, run_id: str) -> RunPath:
    """Return the run that the URL's path names. Raises: IdentifierError."""
    return RunPath.checked(entity, project, run_id)


Shared = Annotated[Context, Depends(context_of)]
Run = Annotated[RunPath, Depends(run_path)]


def chosen_format(request: Request, named: Format | None, allowed: tuple[Format, ...]) -> Format:
    """Return how to encode an answer: as `format=` says, else as Accept prefers, else the first one allowed.

    Raises:
        RequestError: when `format=` names one that this endpoint does not have.
    """
    if named is not None:
        if named not in allowed:
            rule = f"{named} is not a format of this answer"
            raise RequestError("format", named, rule, f"send one of {', '.join(allowed)}")
        return named
    by_type = {MEDIA_TYPES[fmt].split(";")[0]: fmt for fmt in allowed}
    for media_type in _accepted(request.headers.get("accept", "")):
        if media_type in by_type:
            return by_type[media_type]
    return allowed[0]


def _accepted(header: str) -> list[str]:
    """Return the media types of an Accept header, the most wanted first."""
    ranked: list[tuple[float, int, str]] = []
    for part in header.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights = [parameter.removeprefix("q=") for parameter in parameters if parameter.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0
        ranked.append((-weight, len(ranked), media_type))
    return [media_type for _, _, media_type in sorted(ranked)]


def encoded(content: bytes, fmt: Format) -> Response:
    """Return an answer that is whole."""
    return Response(content, media_type=MEDIA_TYPES[fmt])
