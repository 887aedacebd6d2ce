"""Restriction of guests of the ClickHouse port to reading, within limits of time, memory and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final, NamedTuple

from cachetools import TTLCache

from stepwell_deploy.clickhouse_server.guest_settings import COUNTING, RULES
from stepwell_deploy.clickhouse_server.request import Request, StatementError, parameter
from stepwell_query.errors import SqlRefusedError
from stepwell_query.sql.access import guest_access, scoped_guest_access
from stepwell_query.sql.functions import COUNTING_FORMATS, FORBIDDEN_NAMES_SQL, PLAIN_FORMATS
from stepwell_query.sql.guard import guard_rows
from stepwell_query.sql.scope import RowScope
from stepwell_query.sql.statement_check import check_canonical, check_tree
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import MIB

_READONLY_CODE: Final = 164
_CONSTRAINT_CODE: Final = 452
_FORMAT_CODE: Final = 73
_ERROR_NAMES: Final = {
    _READONLY_CODE: "READONLY",
    _CONSTRAINT_CODE: "SETTING_CONSTRAINT_VIOLATION",
    _FORMAT_CODE: "UNKNOWN_FORMAT",
}
_CHOICES: Final = frozenset({"timeout_overflow_mode"})
# Sorts and aggregations of guests spill to disk beyond half of their memory; the space on disk is limited too.
_SPILL_FACTOR: Final = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one guest statement: seconds, bytes of memory, bytes of an answer that is held in memory."""

    seconds: float = 30.0
    memory_bytes: int = 2_048 * MIB
    answer_bytes: int = 256 * MIB

    def settings(self, *, streamed: bool) -> dict[str, str]:
        """Return the engine's settings for a statement whose answer is streamed, or held in memory first."""
        bounds = {
            "max_execution_time": f"{self.seconds:.3f}",
            "timeout_overflow_mode": "throw",
            "max_memory_usage": str(self.memory_bytes),
            "max_temporary_data_on_disk_size_for_query": str(_SPILL_FACTOR * self.memory_bytes),
        }
        return bounds if streamed else {**bounds, "max_result_bytes": str(self.answer_bytes)}


class VisibleRows(NamedTuple):
    """The rows that a guest may see, of the public views in a database."""

    scope: RowScope
    store: Store
    database: str


def check_settings(request: Request, *, scoped: bool = False) -> dict[str, str]:
    """Return a guest's settings in the form for the engine; `scoped` if the guest may not see all rows.

    Raises:
        StatementError: for a setting that guests may not change, a value that it does not accept, or a format that
            needs more than the data.
    """
    if request.form not in PLAIN_FORMATS or (scoped and request.form in COUNTING_FORMATS):
        raise _refused(f"guests may not use the format {request.form!r}", _FORMAT_CODE)
    settings = {}
    for name, given in request.settings.items():
        rule = RULES.get(name)
        if rule is None or (scoped and name in COUNTING):
            raise _refused(f"guests may not change the setting {name!r}", _READONLY_CODE)
        value = rule(given)
        if value is None:
            raise _refused(f"the setting {name} does not take the value {given!r}", _CONSTRAINT_CODE)
        settings[name] = value
    return settings


def with_limits(settings: Mapping[str, str], limits: Limits, *, streamed: bool) -> dict[str, str]:
    """Return checked settings, completed by the limits if they do not set lower ones.

    Raises:
        StatementError: for a setting above its limit.
    """
    limited = dict(settings)
    for name, bound in limits.settings(streamed=streamed).items():
        value = limited.setdefault(name, bound)
        if name not in _CHOICES and float(value) > float(bound):
            raise _refused(f"{name} = {value} is beyond the limit of guests, {bound}", _CONSTRAINT_CODE)
    return limited


def check_statement(
    folder: Path, handle: Any, request: Request, rows: VisibleRows | None = None
) -> tuple[Request, Mapping[str, str]]:
    """Return the request with the statement to execute for it, and the settings that filter its rows.

    The engine parses the statement here, without executing it. The statement is the text that the engine formats from
    its syntax tree, so exactly what was checked is executed.

    Raises:
        StatementError: with code 164 if it does more than guests may, or its rows can't be filtered.
        StoreError, RuntimeError: from the engine, for a syntax error.
    """
    text = request.statement.decode()
    written = handle.query("SELECT formatQuerySingleLine({sql:String})", "TSVRaw", params={"sql": parameter(text)})
    canonical = written.bytes().decode().removesuffix("\n")
    allowed = guest_access(request.database or "default")
    session: Mapping[str, str] = {}
    try:
        if rows is not None and rows.scope.applies_to(canonical):
            session, tables = guard_rows(rows.store, rows.scope, rows.database)
            allowed = scoped_guest_access(allowed.database, rows.database, tables)
        plain, form = check_canonical(canonical, allowed)
        explained = f"EXPLAIN AST {plain} FORMAT TSVRaw"
        printed = handle.query(explained, "TSVRaw", params=dict(request.parameters)).bytes()
        check_tree(plain, printed.decode("utf-8", "replace"), allowed, _forbidden_names(folder, handle))
    except SqlRefusedError as error:
        raise _refused(f"{error.rule}; {error.remedy}", _READONLY_CODE) from error
    return request.rewritten(plain, form or request.form), session


_forbidden: TTLCache[Path, frozenset[str]] = TTLCache(maxsize=4, ttl=60)
_forbidden_lock: Final = Lock()


def _forbidden_names(folder: Path, handle: Any) -> frozenset[str]:
    # Listing them takes 0.2 s, and the list changes only when a function is created.
    with _forbidden_lock:
        names = _forbidden.get(folder)
        if names is None:
            names = frozenset(handle.query(FORBIDDEN_NAMES_SQL, "TSVRaw").bytes().decode().split())
            _forbidden[folder] = names
        return names


def _refused(reason: str, code: int) -> StatementError:
    return StatementError(f"Code: {code}. DB::Exception: Read-only access: {reason}. ({_ERROR_NAMES[code]})", code)
