"""What guests of the ClickHouse port may do: read, within limits of time, memory and size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from stepwell_deploy.clickhouse_server.request import Request, StatementError, parameter
from stepwell_query.errors import SqlRefusedError
from stepwell_query.sql.access import check_canonical, check_tree, guests_of
from stepwell_schemas.limits import MIB

_READONLY_CODE: Final = 164
_CONSTRAINT_CODE: Final = 452

# Settings that change how an answer is computed and written. Others may reach files (format_schema), run further
# statements (format_schema_source) or switch on what is off.
_FREE: Final = re.compile(
    r"(?:output_format|input_format|format_(?:csv|custom|regexp|template)|date_time|bool_true|bool_false|max|min|join"
    r"|group_by|distinct|optimize|query_plan|use|prefer|cast|aggregate_functions|totals|exact|session_timezone|extremes"
    r"|final|log_comment|readonly|timeout_overflow_mode|result_overflow_mode|read_overflow_mode|send_timeout"
    r"|receive_timeout|enable_analyzer|short_circuit|count_distinct|transform_null_in|any_join|select_sequential"
    r"|http_|network_|cancel_http|async_insert|wait_|send_logs|decimal|compatibility|stream_)\w*"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one statement of a guest may take: seconds, bytes of memory, bytes of an answer that is held whole."""

    seconds: float = 30.0
    memory_bytes: int = 2_048 * MIB
    answer_bytes: int = 256 * MIB

    def settings(self, *, streamed: bool) -> dict[str, float]:
        """Return the engine's settings for a statement whose answer is sent as it is made, or held first."""
        bounds: dict[str, float] = {"max_execution_time": self.seconds, "max_memory_usage": self.memory_bytes}
        return bounds if streamed else {**bounds, "max_result_bytes": self.answer_bytes}


def check_settings(request: Request, limits: Limits) -> dict[str, str]:
    """Return a guest's settings, with the limits where it named no lower ones.

    Raises:
        StatementError: for a setting that guests may not change, or a limit that it would lift.
    """
    settings = dict(request.settings)
    for name in settings:
        if _FREE.fullmatch(name) is None:
            raise _refused(f"guests may not change the setting {name}", _READONLY_CODE)
    for name, bound in limits.settings(streamed=request.streamed()).items():
        given = settings.setdefault(name, f"{bound:g}" if isinstance(bound, float) else str(bound))
        if not _within(given, bound):
            raise _refused(f"{name} = {given} is beyond the limit of guests, {bound:,}", _CONSTRAINT_CODE)
    return settings


def check_statement(handle: Any, request: Request) -> None:
    """Let a statement pass that guests may run; the engine itself parses it, and runs nothing.

    Raises:
        StatementError: with code 164 when it does more than read what guests may.
        RuntimeError: from the engine, for what is no statement.
    """
    text = request.statement.decode()
    written = handle.query("SELECT formatQuerySingleLine({sql:String})", "TSVRaw", params={"sql": parameter(text)})
    canonical = written.bytes().decode().removesuffix("\n")
    allowed = guests_of(request.database or "default")
    try:
        plain = check_canonical(canonical, allowed)
        explained = f"EXPLAIN AST {plain} FORMAT TSVRaw"
        printed = handle.query(explained, "TSVRaw", params=dict(request.parameters)).bytes()
        check_tree(plain, printed.decode("utf-8", "replace"), allowed, _table_functions(handle))
    except SqlRefusedError as error:
        raise _refused(f"{error.rule}; {error.remedy}", _READONLY_CODE) from error


@lru_cache(maxsize=1)
def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _table_functions(handle: Any) -> frozenset[str]:
    return _names(handle.query("SELECT lower(name) FROM system.table_functions", "TSVRaw").bytes().decode())


def _within(given: str, bound: float) -> bool:
    try:
        value = float(given)
    except ValueError:
        return False
    return 0 < value <= bound


def _refused(reason: str, code: int) -> StatementError:
    name = "READONLY" if code == _READONLY_CODE else "SETTING_CONSTRAINT_VIOLATION"
    return StatementError(f"Code: {code}. DB::Exception: Read-only access: {reason}. ({name})", code)
