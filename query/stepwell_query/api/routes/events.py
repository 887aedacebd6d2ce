"""Live updates of a project's runs as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from stepwell_query.api.dependencies import ContextDep
from stepwell_query.api.streams import StreamSlots
from stepwell_query.encoding import json_bytes
from stepwell_query.runs.live_updates import Changes, Position
from stepwell_schemas.access.authorize import requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.middleware import RECHECK
from stepwell_schemas.access.routes import AccessRoute
from stepwell_schemas.rules.identifiers import check_identifier

router = APIRouter(prefix="/api/v1", tags=["events"], route_class=AccessRoute)

_PATIENCE_SECONDS: Final = 15.0
_RETRY_MS: Final = 1_000


# Not in the schema: generated clients read an answer to its end, which this one never reaches.
@router.get("/projects/{entity}/{project}/events", response_class=StreamingResponse, include_in_schema=False)
@requires(Scope.READ)
async def events(entity: str, project: str, context: ContextDep, request: Request) -> StreamingResponse:
    """Stream the progress of a project's runs as server-sent events; the first event has all runs.

    Each `runs` event has `{"runs": [{"run_id", "offset", "step", "state"}]}` with the runs that changed; a deleted run
    has `{"run_id", "deleted": true}`. A comment is sent after 15 seconds without changes, and when ClickHouse can't be
    read. A project that does not exist yet has no runs. The stream ends when its key is revoked or expires.
    """
    check_identifier("entity", entity)
    check_identifier("project", project)
    client = request.client.host if request.client else ""
    context.streams.check(client)
    changes = context.changes.listen(entity, project, _PATIENCE_SECONDS)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    items = _stream(changes, request.scope[RECHECK])
    return EventsResponse(context.streams, client, items, media_type="text/event-stream", headers=headers)


class EventsResponse(StreamingResponse):
    """An event stream that occupies a slot while it is open."""

    def __init__(self, streams: StreamSlots, client: str, items: AsyncIterator[bytes], **more: Any) -> None:
        super().__init__(items, **more)
        self._streams = streams
        self._client = client

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Send the stream until the client disconnects."""
        self._streams.enter(self._client)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave(self._client)


async def _stream(
    changes: AsyncIterator[Changes | None], still_valid: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    yield f"retry: {_RETRY_MS}\n\n".encode()
    async for news in changes:
        # A key may have been revoked since; the stream ends with its next message.
        if not await still_valid():
            return
        if news is None:
            yield b": nothing new\n\n"
            continue
        runs = [_describe(run, position) for run, position in news.items()]
        yield b"event: runs\ndata: " + json_bytes({"runs": runs}) + b"\n\n"


def _describe(run: str, position: Position | None) -> dict[str, Any]:
    if position is None:
        return {"run_id": run, "deleted": True}
    offset, _, step, state = position
    return {"run_id": run, "offset": offset, "step": step, "state": state}
