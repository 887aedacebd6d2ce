"""Translate the exceptions of ClickHouse's drivers into `StoreError`s; no other module handles driver exceptions.

`error_codes.csv` classifies every error code of ClickHouse:

- `passing`: the same call may succeed later (network, disk, memory, load limits, replicas, coordination).
- `ours`: the statement, the tables or the user's rights are wrong; an operator or a new version must fix it.
- `data`: a value in the rows or parameters can't be used; a call with fewer rows may succeed.
- `unknown`: either of the last two; also every code that is missing from the table.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any, Final, Literal, cast

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from urllib3.exceptions import HTTPError

from stepwell_schemas.errors import StoreError, StoreRejectedError, StoreUnavailableError

ErrorClass = Literal["passing", "ours", "data", "unknown"]

# The driver's message for a 5xx response of a proxy instead of ClickHouse.
_PROXY_TROUBLE: Final = "received HTTP status 5"
_QUERY_LIMITS: Final = frozenset({158, 159, 160, 241, 307, 396})
_MEMORY_CODE: Final = 241
# ClickHouse's message names the exceeded limit: the query's, the user's or the server's.
_QUERY_MEMORY: Final = re.compile(r"Query memory limit|Memory limit \(for query\)")
_CODE: Final = re.compile(r"Code: (\d+)")


@cache
def _classes() -> Mapping[int, ErrorClass]:
    text = resources.files("stepwell_schemas.clickhouse").joinpath("error_codes.csv").read_text("ascii")
    return {int(row["code"]): cast("ErrorClass", row["class"]) for row in csv.DictReader(text.splitlines())}


def error_class(code: int) -> ErrorClass:
    """Return the class of a ClickHouse error code; `unknown` for codes that are missing from the table."""
    return _classes().get(code, "unknown")


def known_codes() -> frozenset[int]:
    """Return the error codes that the table classifies."""
    return frozenset(_classes())


def is_over_query_limit(error: StoreError) -> bool:
    """Return True if a statement exceeded one of its own limits: rows, bytes, time, or memory (not the server's)."""
    if error.code == _MEMORY_CODE:
        return _QUERY_MEMORY.search(str(error)) is not None
    return error.code in _QUERY_LIMITS


def engine_call(function: Any, *arguments: Any, **named: Any) -> Any:
    """Call chdb and translate its errors, which are RuntimeErrors with ClickHouse's message."""
    try:
        return function(*arguments, **named)
    except RuntimeError as error:
        raise _store_error(str(error), _parse_code(str(error))) from error


def _parse_code(message: str) -> int:
    match = _CODE.search(message)
    return int(match[1]) if match else 0


def _store_error(message: str, code: int) -> StoreError:
    if error_class(code) == "passing":
        return StoreUnavailableError(message, code)
    return StoreRejectedError(message, code)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate driver exceptions into `StoreError`s."""
    try:
        yield
    except ClickHouseError as error:
        code = int(getattr(error, "code", None) or _parse_code(str(error)))
        unanswered = isinstance(error, OperationalError) or _PROXY_TROUBLE in str(error)
        if code == 0 and unanswered:
            raise StoreUnavailableError(f"ClickHouse does not answer: {error}") from error
        raise _store_error(str(error), code) from error
    except (HTTPError, pa.ArrowInvalid, ConnectionError) as error:
        raise StoreUnavailableError(f"ClickHouse's response was cut off: {error}") from error
