"""Turns the errors of ClickHouse's drivers into those of our tree: the one place that knows the drivers' kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pyarrow as pa
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError
from urllib3.exceptions import HTTPError

from stepwell_schemas.errors import StoreRejectedError, StoreUnavailableError

# ClickHouse's codes for states that pass: too many queries, sockets and networks, a table that is read-only for
# now, a full disk, too many parts, an insert of unknown outcome, no connection, the coordination service.
PASSING_CODES: Final = frozenset({202, 209, 210, 242, 243, 252, 279, 319, 425, 999})
# Time and memory come back for an insert of bounded size; a query that needs too much would need it again.
PASSING_INSERT_CODES: Final = PASSING_CODES | {159, 160, 241}

# What the driver says of an answer 5xx that is not from ClickHouse but from a proxy before it.
_PROXY_TROUBLE: Final = "received HTTP status 5"


def engine_call(function: Any, *arguments: Any, **named: Any) -> Any:
    """Call chdb, whose errors are RuntimeErrors with ClickHouse's message in them."""
    try:
        return function(*arguments, **named)
    except RuntimeError as error:
        raise StoreRejectedError(str(error), _code(str(error))) from error


def _code(message: str) -> int:
    match = re.search(r"Code: (\d+)", message)
    return int(match[1]) if match else 0


@contextmanager
def translated(passing: frozenset[int] = PASSING_CODES) -> Iterator[None]:
    """Turn the errors of the drivers into those of our tree."""
    try:
        yield
    except ClickHouseError as error:
        code = int(getattr(error, "code", None) or _code(str(error)))
        unanswered = isinstance(error, OperationalError) or _PROXY_TROUBLE in str(error)
        if code in passing or (code == 0 and unanswered):
            raise StoreUnavailableError(f"ClickHouse does not answer: {error}") from error
        raise StoreRejectedError(str(error), code) from error
    except (HTTPError, pa.ArrowInvalid, ConnectionError) as error:
        raise StoreUnavailableError(f"ClickHouse's answer broke off: {error}") from error
