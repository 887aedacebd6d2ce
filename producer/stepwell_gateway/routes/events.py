"""Events over HTTP: `POST /api/v1/events`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import anyio.to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from stepwell_gateway.access import check_events
from stepwell_gateway.context import Context, ContextDep
from stepwell_gateway.errors import BadEventsError, BodyError, MediaTypeError
from stepwell_gateway.event_log import Position
from stepwell_schemas.access.authorize import Target, requires
from stepwell_schemas.access.grants import Scope
from stepwell_schemas.access.routes import AccessRoute, IdentityDep
from stepwell_schemas.compression import Coding, expand
from stepwell_schemas.errors import ExpansionError, FramingError, IdentifierError, UnusableEventError
from stepwell_schemas.events.framing import FRAME_BYTES, MEDIA_TYPE, split_events
from stepwell_schemas.events.routing import RoutedEvent, route_event
from stepwell_schemas.http.bodies import close_after
from stepwell_schemas.http.problems import SHOWN_ERRORS, FieldError, field_error
from stepwell_schemas.limits import KIB, REQUEST_EVENTS_MAX

EVENTS_PATH: Final = "/api/v1/events"

_CODINGS: Final[dict[str, Coding | None]] = {"": None, "identity": None, "lz4": "lz4", "zstd": "zstd"}
_MEDIA_TYPES: Final = frozenset({MEDIA_TYPE, "application/octet-stream", ""})
_THREAD_BYTES: Final = 256 * KIB
"""Compressed bytes from which a body is decompressed in a thread: it takes a millisecond or more."""

_CUT_REMEDY: Final = "send the request again, in full"
_EVENT_REMEDY: Final = "send events of a version that the service knows; update the service before its clients"

_BODY_DOC: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "Events, each preceded by its length (4 bytes, big-endian). An event is an Avro record in "
        "single-object encoding, the same bytes as on Kafka. `Content-Encoding: zstd` and `lz4` are accepted.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"description": "The body can't be decompressed, or split into events; none was written."},
    413: {"description": "The body is too large, or an event is too large for the topic; none was written."},
    415: {"description": "The body has another media type or coding; none was written."},
    422: {"description": "Events name no run; `errors` lists them, and none was written."},
    503: {"description": "Kafka has not acknowledged all events; repeat the request after `Retry-After` seconds."},
}

router = APIRouter(tags=["events"], route_class=AccessRoute)


@router.post(EVENTS_PATH, openapi_extra=_BODY_DOC, responses=_ANSWERS)
@requires(Scope.WRITE, Target.ANYTHING)
async def post_events(request: Request, context: ContextDep, identity: IdentityDep) -> Response:
    """Write events to Kafka; answered when all in-sync replicas have all of them.

    `events` and `bytes` count them, and `partitions` has their places: for each partition the number of events, and the
    first and the last offset. The events of a run keep their order.

    Each event needs the scope `write` over its project. A request can be repeated after any error: events that were
    written before count once, since they have a session and a number in it. An event that can't be stored is written
    all the same, and becomes a dead letter.
    """
    coding = _coding(request)
    body = context.bodies.refuse_length(request.headers) or await context.bodies.read(request.receive)
    if isinstance(body, Response):
        return await close_after(body, request.headers, request.receive)
    content = await _expanded(context, body, coding)
    if isinstance(content, Response):
        return content
    events = _route(_split(content))
    check_events(identity, events)
    positions = await context.log.publish(events)
    size = sum(len(event.payload) for event in events)
    return JSONResponse({"events": len(events), "bytes": size, "partitions": summarize(positions)})


def summarize(positions: Iterable[Position]) -> list[dict[str, int]]:
    """Return the number of events and the range of offsets of each partition, by partition."""
    ranges: dict[int, list[int]] = {}
    for partition, offset in positions:
        count, first, last = ranges.setdefault(partition, [0, offset, offset])
        ranges[partition] = [count + 1, min(first, offset), max(last, offset)]
    return [
        {"partition": partition, "events": count, "first_offset": first, "last_offset": last}
        for partition, (count, first, last) in sorted(ranges.items())
    ]


def _coding(request: Request) -> Coding | None:
    """Return the coding of the body, None for none. Raises: MediaTypeError."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES:
        raise MediaTypeError("content-type", media_type, f"send {MEDIA_TYPE}")
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in _CODINGS:
        raise MediaTypeError("content-encoding", coding, "send zstd, lz4 or identity")
    return _CODINGS[coding]


async def _expanded(context: Context, body: bytes, coding: Coding | None) -> bytes | Response:
    if coding is None:
        return body
    limit = context.settings.gateway_request_bytes
    try:
        if len(body) < _THREAD_BYTES and not context.expanding.borrowed_tokens:
            return expand(coding, body, limit)
        return await anyio.to_thread.run_sync(expand, coding, body, limit, limiter=context.expanding)
    except ExpansionError:
        return context.bodies.too_large()
    except (ValueError, OSError) as error:
        raise BodyError(f"is not {coding}, or cut off: {error}", _CUT_REMEDY) from error


def _split(content: bytes) -> list[bytes]:
    try:
        return split_events(content, REQUEST_EVENTS_MAX)
    except FramingError as error:
        remedy = f"send events, each preceded by its length in {FRAME_BYTES} bytes, big-endian"
        raise BodyError(error.rule, remedy, error.index) from error


def _route(payloads: Sequence[bytes]) -> list[RoutedEvent]:
    """Return events with their runs. Raises: BadEventsError."""
    events: list[RoutedEvent] = []
    errors: list[FieldError] = []
    for index, payload in enumerate(payloads):
        try:
            events.append(route_event(payload))
        except IdentifierError as error:
            errors.append(field_error(f"events.{index}.{error.field}", error.value, error.rule, "send a valid name"))
        except UnusableEventError as error:
            errors.append(field_error(f"events.{index}", None, error.detail, _EVENT_REMEDY))
        if len(errors) == SHOWN_ERRORS:
            break
    if errors:
        raise BadEventsError(errors)
    return events
