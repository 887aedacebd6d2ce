"""Status and headers of the port's answers: exact content type, and headers that prevent browsers from using them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from stepwell_deploy.clickhouse_server.access import ACCESS_CODE, AUTHENTICATION_CODE, UNAVAILABLE_CODE
from stepwell_deploy.clickhouse_server.bodies import TIMEOUT_CODE, TOO_LARGE_CODE
from stepwell_deploy.clickhouse_server.execute import Answer
from stepwell_deploy.clickhouse_server.formats import content_type
from stepwell_deploy.clickhouse_server.request import StatementError
from stepwell_query.errors import TooBusyError
from stepwell_schemas.access.refusals import rate_limited

BUSY_CODE: Final = 202
QUOTA_CODE: Final = 201
PLAIN: Final = "text/plain; charset=UTF-8"
_STATUS: Final = {
    115: 400,
    452: 400,
    60: 404,
    81: 404,
    62: 400,
    47: 400,
    36: 400,
    73: 400,
    27: 400,
    164: 403,
    ACCESS_CODE: 403,
    AUTHENTICATION_CODE: 401,
    UNAVAILABLE_CODE: 503,
    BUSY_CODE: 503,
    QUOTA_CODE: 429,
    TOO_LARGE_CODE: 413,
    TIMEOUT_CODE: 408,
}
_GUARDS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_BAD_ARGUMENT_CODE: Final = 36

Head = list[tuple[bytes, bytes]]


def head(content: str, values: Mapping[str, str] | None = None) -> Head:
    """Return an answer's headers.

    Raises:
        StatementError: for a value with a control character, which would begin a header of its own, or another one
            that is not printable ASCII.
    """
    headers = {"Content-Type": content, **_GUARDS, **(values or {})}
    for name, value in headers.items():
        if _VALUE.fullmatch(value) is None:
            message = f"Code: {_BAD_ARGUMENT_CODE}. DB::Exception: {name} can't be {value!r}. (BAD_ARGUMENTS)"
            raise StatementError(message, _BAD_ARGUMENT_CODE)
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def answer_head(answer: Answer, query_id: str, elapsed_ns: int, *, framed: bool = False) -> Head:
    """Return the headers of a statement's result. Raises: StatementError."""
    counted = dict.fromkeys(("read_rows", "read_bytes", "written_rows", "written_bytes", "result_rows"), 0)
    way = "written" if answer.insert else "read"
    counted |= {f"{way}_rows": answer.rows, f"{way}_bytes": answer.bytes_read, "elapsed_ns": elapsed_ns}
    if isinstance(answer.body, bytes):
        # Some clients treat an answer without them as one without rows.
        counted |= {"result_rows": 0 if answer.insert else answer.rows, "result_bytes": len(answer.body)}
    values = {
        "X-ClickHouse-Query-Id": query_id,
        "X-ClickHouse-Timezone": "UTC",
        "X-ClickHouse-Summary": json.dumps({name: str(value) for name, value in counted.items()}),
    }
    if answer.form is not None:
        values["X-ClickHouse-Format"] = answer.form
    # Compressed frames are binary, whatever their content is.
    return head("application/octet-stream" if framed else content_type(answer.form), values)


def busy(error: TooBusyError) -> StatementError:
    """Return ClickHouse's error for too many statements."""
    message = f"Code: {BUSY_CODE}. DB::Exception: Too many simultaneous queries: {error}; send it again later. "
    return StatementError(f"{message}(TOO_MANY_SIMULTANEOUS_QUERIES)", BUSY_CODE)


def key_above_limits(seconds: float) -> StatementError:
    """Return ClickHouse's error for a key above its limits; a request after `seconds` is admitted."""
    refusal = rate_limited(seconds)
    message = f"Code: {QUOTA_CODE}. DB::Exception: Quota exceeded: {refusal.detail}. (QUOTA_EXCEEDED)"
    return StatementError(message, QUOTA_CODE, refusal.headers)


def error_status(error: StatementError) -> int:
    """Return the HTTP status of an error."""
    return _STATUS.get(error.code, 500)


def error_head(error: StatementError) -> Head:
    """Return the headers of an error."""
    return head(PLAIN, {"X-ClickHouse-Exception-Code": str(error.code), **error.headers})
