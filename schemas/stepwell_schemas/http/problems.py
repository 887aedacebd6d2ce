"""Problem documents (RFC 9457): the form of all errors of HTTP services.

They have a stable type, and the field, value, rule and remedy of each error.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stepwell_schemas.errors import GrantError, KeyFieldError, RuleError
from stepwell_schemas.http.parameters import TOO_MANY_ERRORS
from stepwell_schemas.http.problem_types import URN, ProblemType
from stepwell_schemas.texts import shorten

PROBLEM_TYPE: Final = "application/problem+json"
SHOWN_ERRORS: Final = 20
"""Entries of a problem's `errors`. A body of 4 MiB can break 300,000 rules; describing them all made 40 MB of an answer
and kept the event loop busy for 3 seconds."""

_SHOWN_CHARS: Final = 200
_RULE_CHARS: Final = 2_000
_SHOWN_ITEMS: Final = 20
_BODY_REMEDY: Final = "send a JSON object, with the header content-type: application/json"

_BRIEF: Final = reprlib.Repr()
_BRIEF.maxlist = _BRIEF.maxdict = _SHOWN_ITEMS
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = _SHOWN_CHARS

FieldError = dict[str, Any]


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
    """Return one entry of a problem's `errors`; long texts are truncated, since they repeat parts of the request."""
    shown = value if isinstance(value, bool | float | int) or value is None else _as_text(value)
    if isinstance(shown, int) and not -(2**63) <= shown < 2**64:
        shown = str(shown)[:_SHOWN_CHARS]
    return {"field": shorten(field, _SHOWN_CHARS), "value": shown, "rule": shorten(rule, _RULE_CHARS), "remedy": remedy}


def _as_text(value: object) -> str:
    # The text of a list or dict of the request would take as long as the request is.
    return shorten(_BRIEF.repr(value) if isinstance(value, list | dict) else str(value), _SHOWN_CHARS)


def install_common(app: FastAPI) -> None:
    """Register the handlers of errors that every service has: broken rules, invalid parameters, unknown routes."""
    app.add_exception_handler(RuleError, _on_rule_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def bad_parameter(errors: Sequence[FieldError], more: int = 0) -> Response:
    """Return the problem document of invalid parameters; `more` errors are counted and not described."""
    rules = [f"{error['field']}: {error['rule']}" for error in errors]
    detail = "; ".join([*rules, f"and {more:,} more"] if more else rules)
    return problem(422, ProblemType.BAD_PARAMETER, "Invalid parameter", detail, errors)


async def _on_rule_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RuleError)  # noqa: S101 - the handler is registered for this type
    remedy = "send the name as it was logged, each part percent-encoded"
    if isinstance(error, GrantError | KeyFieldError):
        remedy = "docs/access.md describes keys and their scopes"
    return bad_parameter([field_error(error.field, error.value, error.rule, remedy)])


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the handler is registered for this type
    entries = error.errors()
    return bad_parameter([_from_pydantic(entry) for entry in entries[:SHOWN_ERRORS]], len(entries[SHOWN_ERRORS:]))


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
        case kind if kind == TOO_MANY_ERRORS:
            remedy = "/docs lists the parameters and their types"
        case "greater_than_equal":
            remedy = f"send at least {context['ge']}"
        case "greater_than":
            remedy = f"send more than {context['gt']}"
        case "less_than_equal":
            remedy = f"send at most {context['le']}"
        case "less_than":
            remedy = f"send less than {context['lt']}"
        case "literal_error" | "enum":
            remedy = f"send one of {context['expected']}"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            remedy = "send an integer of at most 64 bits"
        case _:
            remedy = _BODY_REMEDY if field == "body" else "send a value of the type that /docs shows"
    message = str(entry["msg"])
    rule = message[:1].lower() + message[1:]
    return field_error(field, entry.get("input"), rule, remedy)


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


def problem_responses(texts: Mapping[int | str, str]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an OpenAPI document for problem documents, by status."""
    return {status: {"description": text, "content": {PROBLEM_TYPE: {}}} for status, text in texts.items()}
