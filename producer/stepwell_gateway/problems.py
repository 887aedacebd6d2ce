"""Problem documents of the gateway's errors."""

from __future__ import annotations

import random
from typing import Final

import structlog
from fastapi import FastAPI, Request, Response

from stepwell_gateway.errors import (
    BadEventsError,
    BodyError,
    BufferFullError,
    EventTooLargeError,
    ForbiddenEventsError,
    MediaTypeError,
    NoStoreError,
    NotWrittenError,
    RunsNotFoundError,
)
from stepwell_schemas.errors import StoreError, StoreRejectedError
from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import field_error, install_common, problem

_SEE_LOG: Final = "the gateway's log has the error"
_log = structlog.get_logger("stepwell.gateway")
_RETRY_SECONDS: Final = (2, 6)
"""Seconds until a client repeats a request: drawn for each, so that not all of them return at the same moment."""


def install(app: FastAPI) -> None:
    """Register the handlers that answer every error with a problem document."""
    install_common(app)
    app.add_exception_handler(NotWrittenError, _on_not_written)
    app.add_exception_handler(NoStoreError, _on_no_store)
    app.add_exception_handler(RunsNotFoundError, _on_runs_not_found)
    app.add_exception_handler(StoreError, _on_store_error)
    app.add_exception_handler(BufferFullError, _on_buffer_full)
    app.add_exception_handler(BodyError, _on_body_error)
    app.add_exception_handler(MediaTypeError, _on_media_type_error)
    app.add_exception_handler(EventTooLargeError, _on_event_too_large)
    app.add_exception_handler(BadEventsError, _on_bad_events)
    app.add_exception_handler(ForbiddenEventsError, _on_forbidden_events)


async def _on_not_written(_: Request, error: Exception) -> Response:
    return _later(problem(503, ProblemType.KAFKA_UNAVAILABLE, "Kafka unavailable", str(error)))


async def _on_no_store(_: Request, error: Exception) -> Response:
    return problem(503, ProblemType.STORE_UNAVAILABLE, "No ClickHouse", str(error))


async def _on_runs_not_found(_: Request, error: Exception) -> Response:
    return problem(404, ProblemType.NOT_FOUND, "Not found", str(error))


async def _on_store_error(_: Request, error: Exception) -> Response:
    if isinstance(error, StoreRejectedError):
        _log.error("statement_refused", error=str(error), code=error.code)
        return problem(500, ProblemType.STORE_REJECTED, "ClickHouse rejected a statement of the gateway", _SEE_LOG)
    _log.warning("store_unavailable", error=str(error))
    return _later(problem(503, ProblemType.STORE_UNAVAILABLE, "ClickHouse unavailable", _SEE_LOG))


async def _on_buffer_full(_: Request, error: Exception) -> Response:
    return _later(problem(503, ProblemType.BUSY, "Too many events wait for Kafka", str(error)))


def _later(answer: Response) -> Response:
    answer.headers["retry-after"] = str(random.randint(*_RETRY_SECONDS))  # noqa: S311 - jitter
    return answer


async def _on_body_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, BodyError)  # noqa: S101 - the handler is registered for this type
    field = "body" if error.index is None else f"events.{error.index}"
    described = field_error(field, None, error.rule, error.remedy)
    return problem(
        400, ProblemType.BAD_FRAMING, "The body is no sequence of events", f"{field}: {error.rule}", [described]
    )


async def _on_media_type_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, MediaTypeError)  # noqa: S101 - the handler is registered for this type
    described = field_error(error.header, error.value, "is not supported here", error.remedy)
    return problem(415, ProblemType.MEDIA_TYPE, "Unsupported media type or coding", str(error), [described])


async def _on_event_too_large(_: Request, error: Exception) -> Response:
    assert isinstance(error, EventTooLargeError)  # noqa: S101 - the handler is registered for this type
    remedy = "send its rows in several events; the topic's max.message.bytes is the limit of a single one"
    rule = f"has {error.size:,} bytes; the topic accepts events of up to {error.limit:,}"
    described = field_error(f"events.{error.index}", None, rule, remedy)
    members = {"index": error.index, "event_bytes": error.limit}
    return problem(413, ProblemType.EVENT_TOO_LARGE, "Event too large", str(error), [described], members)


async def _on_bad_events(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadEventsError)  # noqa: S101 - the handler is registered for this type
    return problem(422, ProblemType.BAD_EVENT, "Events without a run", str(error), error.errors)


async def _on_forbidden_events(_: Request, error: Exception) -> Response:
    assert isinstance(error, ForbiddenEventsError)  # noqa: S101 - the handler is registered for this type
    return problem(403, ProblemType.FORBIDDEN, "Scope missing", str(error), [error.described])
