"""Problem documents of the query service's own errors; `stepwell_schemas.http.problems` has those of all services."""

from __future__ import annotations

from typing import Final

import structlog
from fastapi import FastAPI, Request, Response

from stepwell_query.errors import (
    ClientGoneError,
    MediaNotFoundError,
    NotFoundError,
    RangeError,
    RequestError,
    RunDeletedError,
    TooBusyError,
    TooManyStreamsError,
    UnknownKeysError,
)
from stepwell_schemas.clickhouse.errors import is_over_query_limit
from stepwell_schemas.errors import MediaUnavailableError, StoreError, StoreRejectedError
from stepwell_schemas.http.problem_types import ProblemType
from stepwell_schemas.http.problems import bad_parameter, field_error, install_common, problem

_SEE_LOG: Final = "the service's log has the details"
"""Replaces messages of drivers, which name addresses and paths of the server."""

_log = structlog.get_logger("stepwell.query")

# ClickHouse error codes of queries that exceeded one of the service's limits, and the rule to report.
_LIMIT_CODES: Final = {
    158: "it exceeds the limit of rows to read",
    159: "it exceeds the time limit",
    160: "its estimated time exceeds the time limit",
    241: "it exceeds the memory limit",
    307: "it exceeds the limit of bytes to read",
    396: "its answer exceeds the size limit",
}


def install(app: FastAPI) -> None:
    """Register the handlers that answer every error with a problem document."""
    install_common(app)
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(NotFoundError, _on_not_found)
    app.add_exception_handler(RunDeletedError, _on_run_deleted)
    app.add_exception_handler(ClientGoneError, _on_client_gone)
    app.add_exception_handler(TooBusyError, _on_too_busy)
    app.add_exception_handler(TooManyStreamsError, _on_too_many_streams)
    app.add_exception_handler(RangeError, _on_range_error)
    app.add_exception_handler(StoreError, _on_store_error)


async def _on_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - the handler is registered for this type
    described = field_error(error.field, error.value, error.rule, error.remedy)
    if isinstance(error, UnknownKeysError):
        members = {"unknown_keys": error.keys}
        return problem(422, ProblemType.UNKNOWN_KEY, "Unknown key", error.rule, [described], members)
    return bad_parameter([described if error.column is None else described | {"column": error.column}])


async def _on_not_found(_: Request, error: Exception) -> Response:
    if isinstance(error, MediaNotFoundError):
        return problem(404, ProblemType(f"media-{error.state}"), "Media file not available", str(error))
    return problem(404, ProblemType.NOT_FOUND, "Not found", str(error))


async def _on_run_deleted(_: Request, error: Exception) -> Response:
    return problem(410, ProblemType.RUN_DELETED, "The run was deleted", str(error))


async def _on_client_gone(_: Request, __: Exception) -> Response:
    # The status that nginx uses. Only the metrics show it: the client has closed the connection.
    return problem(
        499, ProblemType.CLIENT_GONE, "Client closed the request", "the client closed the connection before the answer"
    )


async def _on_too_busy(_: Request, error: Exception) -> Response:
    return problem(503, ProblemType.TOO_BUSY, "Too many statements are running", str(error))


async def _on_range_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RangeError)  # noqa: S101 - the handler is registered for this type
    answer = problem(416, ProblemType.RANGE, "Range not satisfiable", str(error))
    answer.headers["content-range"] = f"bytes */{error.size}"
    return answer


async def _on_too_many_streams(_: Request, error: Exception) -> Response:
    assert isinstance(error, TooManyStreamsError)  # noqa: S101 - the handler is registered for this type
    return problem(429 if error.per_client else 503, ProblemType.TOO_MANY_STREAMS, "Too many event streams", str(error))


async def _on_store_error(_: Request, error: Exception) -> Response:
    if isinstance(error, StoreError) and is_over_query_limit(error):
        rule = _LIMIT_CODES[error.code]
        remedy = "ask for fewer runs, keys or steps"
        return bad_parameter([field_error("request", None, rule, remedy)])
    if isinstance(error, StoreRejectedError):
        _log.error("statement_refused", error=str(error), code=error.code)
        return problem(500, ProblemType.STORE_REJECTED, "ClickHouse rejected a statement of the service", _SEE_LOG)
    if isinstance(error, MediaUnavailableError):
        _log.warning("media_store_unavailable", error=str(error))
        return problem(503, ProblemType.MEDIA_UNAVAILABLE, "Media store unavailable", _SEE_LOG)
    _log.warning("store_unavailable", error=str(error))
    return problem(503, ProblemType.STORE_UNAVAILABLE, "ClickHouse unavailable", _SEE_LOG)
