"""`/api/v1/sql`: execution of one read-only statement within limits of time, rows, size and memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

import pyarrow as pa
from cachetools import TTLCache, cached

from stepwell_query.encoding import Format, json_bytes, json_columns, table_bytes
from stepwell_query.errors import RequestError, SqlRefusedError
from stepwell_query.query_limits import StatementMark
from stepwell_query.settings import QuerySettings
from stepwell_query.slots import SlotLimits
from stepwell_query.sql.access import api_access
from stepwell_query.sql.functions import FORBIDDEN_NAMES_SQL
from stepwell_query.sql.guard import guard_rows
from stepwell_query.sql.hints import find_remedy
from stepwell_query.sql.scope import RowScope
from stepwell_query.sql.show import show_public_views
from stepwell_query.sql.statement_check import check_canonical, check_tree
from stepwell_schemas.clickhouse.errors import is_over_query_limit
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreError, StoreRejectedError, StoreUnavailableError
from stepwell_schemas.rules.valid_text import valid_text
from stepwell_schemas.texts import shorten

SQL_MAX_CHARS: Final = 100_000
_SYNTAX_CODE: Final = 62
_CANCELLED_CODE: Final = 394
# Paths of files of the server, which messages about parts and disks contain.
_PATH: Final = re.compile(r"(?<![\w./])/(?:[\w.@+-]+/)+[\w.@+-]*")
_MESSAGE: Final = re.compile(
    r"DB::Exception: (.*?)(?: : In scope SELECT formatQuerySingleLine.*| \(for url .*)?$", re.DOTALL
)
_WAITING_PER_PLACE: Final = 16
_WAIT_SECONDS: Final = 15.0
_MESSAGE_CHARS: Final = 600
_POSITION: Final = re.compile(r"failed at position (\d+)")
_CHECK_LIMITS: Final = "SETTINGS max_execution_time = 5"

_LIMITS: Final = {
    158: ("reads more rows than allowed", "add conditions on entity, project, run_id and key"),
    159: ("runs longer than {sql_max_seconds:g} seconds", "add conditions on entity, project, run_id and key"),
    160: ("would run longer than {sql_max_seconds:g} seconds", "add conditions on entity, project, run_id and key"),
    241: ("needs more memory than {sql_max_memory_bytes:,} bytes", "aggregate less at once, or read fewer rows"),
    307: ("reads more bytes than allowed", "add conditions on entity, project, run_id and key"),
    396: ("answers more than {sql_max_rows:,} rows or {sql_max_bytes:,} bytes", "add a LIMIT, or use a scan"),
}


@dataclass(frozen=True, slots=True)
class Statement:
    """A checked, read-only statement.

    Attributes:
        sql: the text as formatted by ClickHouse.
        mark: finds it while it runs.
        session: the settings under which it runs, which filter rows.
    """

    sql: str
    parameters: Mapping[str, Any]
    session: Mapping[str, str] = field(default_factory=dict)
    mark: StatementMark = field(default_factory=StatementMark)


def prepare(store: Store, sql: str, parameters: Mapping[str, Any], scope: RowScope | None = None) -> Statement:
    """Check a statement; ClickHouse parses it, as a value and then by `EXPLAIN AST`, but does not run it.

    `scope` has the rows that it may see; None: all rows.

    Raises:
        SqlRefusedError: when it is not a statement, does more than read Stepwell's database, or its rows can't be
            filtered.
        StoreError: when ClickHouse does not answer.
    """
    if len(sql) > SQL_MAX_CHARS:
        raise SqlRefusedError(sql, f"is longer than {SQL_MAX_CHARS:,} characters", "send values as parameters")
    _check_parameters(parameters)
    canonical = _canonical(store, sql)
    guard = None if scope is None or not scope.applies_to(canonical) else guard_rows(store, scope)
    allowed = api_access(store.database, None if guard is None else guard.tables)
    check_canonical(canonical, allowed)
    used = {name: value for name, value in parameters.items() if f"{{{name}:" in canonical}
    try:
        # The requested format becomes part of the tree, which is printed as plain lines with any format.
        printed = store.query_bytes(f"EXPLAIN AST {canonical}", used, "TSVRaw").decode("utf-8", "replace")
    except StoreRejectedError as error:
        raise _refusal(canonical, error) from error
    check_tree(canonical, printed, allowed, _forbidden_names(store))
    session = {} if guard is None else guard.settings
    return Statement(show_public_views(canonical), used, session)


def run(store: Store, statement: Statement, settings: QuerySettings) -> pa.Table:
    """Run a checked statement.

    Raises:
        ClientGoneError: when the client disconnected before it started.
        SqlRefusedError: when ClickHouse rejects it, or it exceeds a limit.
        StoreError: when ClickHouse does not answer.
    """
    limits = (
        f"SETTINGS readonly = 1, max_execution_time = {settings.sql_max_seconds:f},"
        f" max_result_rows = {settings.sql_max_rows:d}, max_result_bytes = {settings.sql_max_bytes:d},"
        f" result_overflow_mode = 'throw', max_memory_usage = {settings.sql_max_memory_bytes:d},"
        f" log_comment = '{statement.mark}'"
    )
    try:
        statement.mark.check()
        # Not streamed: a limit that is exceeded midway must not result in a partial answer.
        answer = store.query_bytes(f"{statement.sql} {limits}", statement.parameters, "Arrow", statement.session)
    except StoreError as error:
        if not is_over_query_limit(error):
            if isinstance(error, StoreUnavailableError) and error.code != _CANCELLED_CODE:
                raise
            raise _refusal(statement.sql, error) from error
        rule, remedy = _LIMITS[error.code]
        raise SqlRefusedError(statement.sql, rule.format(**settings.model_dump()), remedy) from error
    table = valid_text(pa.ipc.open_file(pa.BufferReader(answer)).read_all()) if answer else pa.table({})
    if table.num_rows > settings.sql_max_rows:
        rule, remedy = _LIMITS[396]
        raise SqlRefusedError(statement.sql, rule.format(**settings.model_dump()), remedy)
    return table


def answer_bytes(table: pa.Table, fmt: Format) -> bytes:
    """Encode an answer; JSON has `columns` (name and type) and `rows` (arrays in the order of the columns)."""
    if fmt is not Format.JSON:
        return table_bytes(table, fmt)
    document = {
        "columns": [{"name": field.name, "type": str(field.type)} for field in table.schema],
        "rows": list(zip(*json_columns(table), strict=True)),
        "row_count": table.num_rows,
    }
    return json_bytes(document)


def slot_limits(settings: QuerySettings) -> SlotLimits:
    """Return the limits of running and waiting statements; one address can't occupy all slots."""
    running = settings.sql_concurrency
    waiting = _WAITING_PER_PLACE * running
    return SlotLimits(running, max(1, running - 1), waiting, max(1, waiting // 2), _WAIT_SECONDS)


# The query takes 0.2 s; its result changes with the version of the server.
@cached(TTLCache(maxsize=4, ttl=60), lock=Lock())
def _forbidden_names(store: Store) -> frozenset[str]:
    names = store.query(f"{FORBIDDEN_NAMES_SQL} {_CHECK_LIMITS}").column("name").to_pylist()
    return frozenset(names)


def _canonical(store: Store, sql: str) -> str:
    try:
        written = store.query("SELECT formatQuerySingleLine({sql:String}) AS sql", {"sql": sql})
    except StoreRejectedError as error:
        raise _refusal(sql, error) from error
    canonical: str = written.column("sql")[0].as_py()
    return canonical


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        plain = isinstance(value, list) and all(isinstance(item, str | int | float | None) for item in value)
        if not plain and not isinstance(value, str | int | float | None):
            rule = f"{type(value).__name__} can't be a parameter"
            remedy = "send text, numbers, booleans, null, or a list of these"
            raise RequestError(f"parameters.{name}", value, rule, remedy)
        if not name.isidentifier():
            raise RequestError("parameters", name, "is not a valid parameter name", "use letters, digits and _")


def _refusal(sql: str, error: StoreError) -> SqlRefusedError:
    if error.code == _CANCELLED_CODE:
        return SqlRefusedError(sql, "was cancelled", "send it again")
    message = _message(sql, error)
    if error.code == _SYNTAX_CODE:
        rule = f"is not SQL that ClickHouse understands: {message}"
        return SqlRefusedError(sql, rule, find_remedy(sql, error.code, message), _error_column(sql, message))
    return SqlRefusedError(sql, f"was refused by ClickHouse: {message}", find_remedy(sql, error.code, message))


def _hide_paths(sql: str) -> Callable[[re.Match[str]], str]:
    """Return a replacement function that hides paths, except those that the statement itself contains."""
    return lambda match: match[0] if match[0] in sql else "<path>"


def _message(sql: str, error: StoreError) -> str:
    """Return ClickHouse's message without the parts that drivers and the service's own statement add."""
    match = _MESSAGE.search(str(error))
    return shorten(_PATH.sub(_hide_paths(sql), match[1] if match else str(error)), _MESSAGE_CHARS)


def _error_column(sql: str, message: str) -> int | None:
    """Return the position of a syntax error in the statement, in characters from 1."""
    match = _POSITION.search(message)
    # ClickHouse reports the position in bytes.
    return len(sql.encode()[: int(match[1]) - 1].decode("utf-8", "ignore")) + 1 if match else None
