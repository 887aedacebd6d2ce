"""Errors as RFC 9457 problem documents that name the field, the value, the rule and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stepwell_query.errors import (
    ClientGoneError,
    MediaNotFoundError,
    NotFoundError,
    RangeError,
    RequestError,
    TooBusyError,
    TooManyStreamsError,
)
from stepwell_schemas.clickhouse.errors import is_over_query_limit
from stepwell_schemas.errors import MediaUnavailableError, RuleError, StoreError, StoreRejectedError

PROBLEM_TYPE: Final = "application/problem+json"
_SHOWN_CHARS: Final = 200
_SEE_LOG: Final = "the service's log has the details"
"""In place of what a driver says, which names addresses and folders of the server."""

_BODY_REMEDY: Final = "send a JSON object, with the header content-type: application/json"
_log = structlog.get_logger("stepwell.query")

FieldError = dict[str, Any]

# ClickHouse's codes of a query that was cut off by a limit of ours, and the words for it.
_LIMIT_CODES: Final = {
    158: "it reads more rows than the limit allows",
    159: "it runs longer than the time limit allows",
    160: "it would run longer than the time limit allows",
    241: "it needs more memory than the limit allows",
    307: "it reads more bytes than the limit allows",
    396: "its answer is larger than the limit allows",
}


def problem(
    status: int,
    name: str,
    title: str,
    detail: str,
    errors: Sequence[FieldError] = (),
    members: Mapping[str, Any] | None = None,
) -> Response:
    """Return a problem document; `name` is its kind for programs, `detail` is for people, `members` are its own."""
    body = {
        "type": f"urn:stepwell:problem:{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": list(errors),
        **(members or {}),
    }
    headers = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'"}
    if status in {429, 503}:
        headers["retry-after"] = "1"
    # Values come from the request as they are: a lone surrogate in one must not turn the answer into a 500.
    content = orjson.dumps(_encodable(body))
    return Response(content, status_code=status, media_type=PROBLEM_TYPE, headers=headers)


def field_error(field: str, value: object, rule: str, remedy: str) -> FieldError:
    """Return one entry of a problem's `errors`; a long value is cut."""
    shown = value if isinstance(value, bool | float | int) or value is None else str(value)
    if isinstance(shown, str) and len(shown) > _SHOWN_CHARS:
        shown = f"{shown[:_SHOWN_CHARS]}…"
    elif isinstance(shown, int) and not -(2**63) <= shown < 2**64:
        shown = str(shown)[:_SHOWN_CHARS]
    return {"field": field, "value": shown, "rule": rule, "remedy": remedy}


def install(app: FastAPI) -> None:
    """Make the application answer every error with a problem document."""
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


def _unusable(errors: Sequence[FieldError]) -> Response:
    detail = "; ".join(f"{error['field']}: {error['rule']}" for error in errors)
    return problem(422, "bad-parameter", "A parameter can't be used", detail, errors)


async def _on_request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - what the handler is registered for
    described = field_error(error.field, error.value, error.rule, error.remedy)
    return _unusable([described if error.column is None else described | {"column": error.column}])


async def _on_rule_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RuleError)  # noqa: S101 - what the handler is registered for
    remedy = "send the name as it was logged, each part percent-encoded"
    return _unusable([field_error(error.field, error.value, error.rule, remedy)])


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what the handler is registered for
    return _unusable([_from_pydantic(entry) for entry in error.errors()])


def _from_pydantic(entry: dict[str, Any]) -> FieldError:
    location = [str(part) for part in entry["loc"] if part not in {"query", "path", "body", "header"}]
    field = ".".join(location) or "body"
    context = entry.get("ctx") or {}
    match entry["type"]:
        case "missing":
            return field_error(field, None, "is required", f"send {field}")
        case "extra_forbidden":
            return field_error(field, entry.get("input"), "is not known", "leave it out; /docs lists what there is")
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
            remedy = "send a whole number of 64 bits"
        case _:
            remedy = _BODY_REMEDY if field == "body" else "send a value of the type that /docs shows"
    message = str(entry["msg"])
    rule = message[:1].lower() + message[1:]
    return field_error(field, entry.get("input"), rule, remedy)


async def _on_not_found(_: Request, error: Exception) -> Response:
    if isinstance(error, MediaNotFoundError):
        return problem(404, f"media-{error.state}", "The file is not here", str(error))
    return problem(404, "not-found", "There is no such thing", str(error))


async def _on_client_gone(_: Request, __: Exception) -> Response:
    # As nginx notes it; it shows in the metrics alone.
    return problem(499, "client-gone", "The client has left", "nobody reads this")


async def _on_too_busy(_: Request, error: Exception) -> Response:
    return problem(503, "too-busy", "Too many statements run now; try again", str(error))


async def _on_range_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RangeError)  # noqa: S101 - what the handler is registered for
    answer = problem(416, "range", "The range lies outside the file", str(error))
    answer.headers["content-range"] = f"bytes */{error.size}"
    return answer


async def _on_too_many_streams(_: Request, error: Exception) -> Response:
    assert isinstance(error, TooManyStreamsError)  # noqa: S101 - what the handler is registered for
    return problem(429 if error.of_client else 503, "too-many-streams", "Too many streams are open", str(error))


async def _on_store_error(_: Request, error: Exception) -> Response:
    if isinstance(error, StoreError) and is_over_query_limit(error):
        rule = _LIMIT_CODES[error.code]
        remedy = "ask for fewer runs, keys or steps"
        return _unusable([field_error("request", None, rule, remedy)])
    if isinstance(error, StoreRejectedError):
        _log.error("statement_refused", error=str(error), code=error.code)
        return problem(500, "store-rejected", "ClickHouse refused a statement of the service", _SEE_LOG)
    if isinstance(error, MediaUnavailableError):
        _log.warning("media_store_unavailable", error=str(error))
        return problem(503, "media-unavailable", "The media store is not available now; try again", _SEE_LOG)
    _log.warning("store_unavailable", error=str(error))
    return problem(503, "store-unavailable", "ClickHouse is not available now; try again", _SEE_LOG)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what the handler is registered for
    if error.status_code == 404:
        detail = f"nothing is served at {request.url.path}; /docs lists what there is"
        return problem(404, "no-such-route", "There is no such thing", detail)
    answer = problem(error.status_code, "http", str(error.detail), str(error.detail))
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
