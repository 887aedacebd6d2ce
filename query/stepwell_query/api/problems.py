"""Problem documents (RFC 9457) for all errors; they have a stable type, and the field, value, rule and remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stepwell_query.api.problem_types import URN, ProblemType
from stepwell_query.errors import (
    ClientGoneError,
    MediaNotFoundError,
    NotFoundError,
    RangeError,
    RequestError,
    TooBusyError,
    TooManyStreamsError,
    UnknownKeysError,
)
from stepwell_schemas.clickhouse.errors import is_over_query_limit
from stepwell_schemas.errors import MediaUnavailableError, RuleError, StoreError, StoreRejectedError

PROBLEM_TYPE: Final = "application/problem+json"
_SHOWN_CHARS: Final = 200
_SEE_LOG: Final = "the service's log has the details"
"""Replaces messages of drivers, which name addresses and paths of the server."""

_BODY_REMEDY: Final = "send a JSON object, with the header content-type: application/json"
_log = structlog.get_logger("stepwell.query")

FieldError = dict[str, Any]

# ClickHouse error codes of queries that exceeded one of the service's limits, and the rule to report.
_LIMIT_CODES: Final = {
    158: "it exceeds the limit of rows to read",
    159: "it exceeds the time limit",
    160: "its estimated time exceeds the time limit",
    241: "it exceeds the memory limit",
    307: "it exceeds the limit of bytes to read",
    396: "its answer exceeds the size limit",
}


def problem(
    status: int,
    kind: ProblemType,
    title: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    members: Mapping[str, Any] | None = None,
) -> Response:
    """Return a problem document; programs match `kind`, people read `detail`, and `members` are additional fields."""
    body = {
        "type": f"{URN}{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": list(errors),
        **(members or {}),
    }
    headers = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'"}
    if status in {429, 503}:
        headers["retry-after"] = "1"
    # Values are copied from the request: a lone surrogate in one of them must not cause a 500.
    content = orjson.dumps(_encodable(body))
    return Response(content, status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def field_error(field: str, value: object, rule: str, remedy: str) -> FieldError:
    """Return one entry of a problem's `errors`; long values are truncated."""
    shown = value if isinstance(value, bool | float | int) or value is None else str(value)
    if isinstance(shown, str) and len(shown) > _SHOWN_CHARS:
        shown = f"{shown[:_SHOWN_CHARS]}…"
    elif isinstance(shown, int) and not -(2**63) <= shown < 2**64:
        shown = str(shown)[:_SHOWN_CHARS]
    return {"field": field, "value": shown, "rule": rule, "remedy": remedy}


def install(app: FastAPI) -> None:
    """Register the handlers that answer every error with a problem document."""
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(RuleError, _on_rule_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(NotFoundError, _on_not_found)
    app.add_exception_handler(ClientGoneError, _on_client_gone)
    app.add_exception_handler(TooBusyError, _on_too_busy)
    app.add_exception_handler(TooManyStreamsError, _on_too_many_streams)
    app.add_exception_handler(RangeError, _on_range_error)
    app.add_exception_handler(StoreError, _on_store_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def _bad_parameter(errors: Sequence[FieldError]) -> Response:
    detail = "; ".join(f"{error['field']}: {error['rule']}" for error in errors)
    return problem(422, ProblemType.BAD_PARAMETER, "Invalid parameter", detail, errors)


async def _on_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - the handler is registered for this type
    described = field_error(error.field, error.value, error.rule, error.remedy)
    if isinstance(error, UnknownKeysError):
        members = {"unknown_keys": error.keys}
        return problem(422, ProblemType.UNKNOWN_KEY, "Unknown key", error.rule, [described], members)
    return _bad_parameter([described if error.column is None else described | {"column": error.column}])


async def _on_rule_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RuleError)  # noqa: S101 - the handler is registered for this type
    remedy = "send the name as it was logged, each part percent-encoded"
    return _bad_parameter([field_error(error.field, error.value, error.rule, remedy)])


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the handler is registered for this type
    return _bad_parameter([_from_pydantic(entry) for entry in error.errors()])


def _from_pydantic(entry: dict[str, Any]) -> FieldError:
    location = [str(part) for part in entry["loc"] if part not in {"query", "path", "body", "header"}]
    field = ".".join(location) or "body"
    context = entry.get("ctx") or {}
    match entry["type"]:
        case "missing":
            return field_error(field, None, "is required", f"send {field}")
        case "extra_forbidden":
            return field_error(
                field, entry.get("input"), "is not a known parameter", "remove it; /docs lists the parameters"
            )
        case "json_invalid":
            return field_error("body", None, f"is not JSON: {context.get('error', '')}", _BODY_REMEDY)
        case "greater_than_equal":
            remedy = f"send at least {context['ge']}"
        case "greater_than":
            remedy = f"send more than {context['gt']}"
        case "less_than_equal":
            remedy = f"send at most {context['le']}"
        case "literal_error" | "enum":
            remedy = f"send one of {context['expected']}"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            remedy = "send an integer of at most 64 bits"
        case _:
            remedy = _BODY_REMEDY if field == "body" else "send a value of the type that /docs shows"
    message = str(entry["msg"])
    rule = message[:1].lower() + message[1:]
    return field_error(field, entry.get("input"), rule, remedy)


async def _on_not_found(_: Request, error: Exception) -> Response:
    if isinstance(error, MediaNotFoundError):
        return problem(404, ProblemType(f"media-{error.state}"), "Media file not available", str(error))
    return problem(404, ProblemType.NOT_FOUND, "Not found", str(error))


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
        return _bad_parameter([field_error("request", None, rule, remedy)])
    if isinstance(error, StoreRejectedError):
        _log.error("statement_refused", error=str(error), code=error.code)
        return problem(500, ProblemType.STORE_REJECTED, "ClickHouse rejected a statement of the service", _SEE_LOG)
    if isinstance(error, MediaUnavailableError):
        _log.warning("media_store_unavailable", error=str(error))
        return problem(503, ProblemType.MEDIA_UNAVAILABLE, "Media store unavailable", _SEE_LOG)
    _log.warning("store_unavailable", error=str(error))
    return problem(503, ProblemType.STORE_UNAVAILABLE, "ClickHouse unavailable", _SEE_LOG)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler is registered for this type
    if error.status_code == 404:
        detail = f"there is no route {request.url.path}; /docs lists the routes"
        return problem(404, ProblemType.NO_SUCH_ROUTE, "No such route", detail)
    answer = problem(error.status_code, ProblemType.HTTP, str(error.detail), str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_encodable(key): _encodable(item) for key, item in value.items()}
        case list():
            return [_encodable(item) for item in value]
    return value
