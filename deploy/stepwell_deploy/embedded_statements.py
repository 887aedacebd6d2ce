"""Runs one statement that came over ClickHouse's HTTP protocol on the embedded engine."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import chdb

from stepwell_deploy.http_statements import Insert, Request, StatementError, literal, quoted_name
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.readonly import check_read_only

_SYNTAX_CODE: Final = 62


@dataclass(frozen=True)
class Answer:
    """A statement's result; `form` is None for statements that have none."""

    body: bytes
    form: str | None
    rows: int
    bytes_read: int
    insert: bool


def run(folder: Path, request: Request, writer: bool) -> Answer:
    """Run a statement on a handle of its own, so that no setting outlives it; guests only read.

    A writer that sets `readonly` is held to the guests' rule too.

    Raises:
        StatementError: with the engine's code.
    """
    readonly = request.settings.get("readonly", "0") if writer else "1"
    try:
        if not request.statement.strip():
            raise StatementError(f"Code: {_SYNTAX_CODE}. DB::Exception: Empty query. (SYNTAX_ERROR)", _SYNTAX_CODE)
        if readonly != "0":
            check_read_only(request.statement.decode())
        # Untyped in chdb.
        connect: Any = chdb.connect
        handle = connect(str(folder))
        try:
            _prepare(handle, request, readonly)
            insert = request.insert()
            return _query(handle, request) if insert is None else _insert(handle, request, insert)
        finally:
            handle.close()
    except StoreRejectedError as error:
        raise StatementError(str(error), error.code) from error
    except UnicodeDecodeError as error:
        raise StatementError(
            f"Code: {_SYNTAX_CODE}. DB::Exception: The statement is not UTF-8. (SYNTAX_ERROR)", _SYNTAX_CODE
        ) from error
    except RuntimeError as error:
        match = re.search(r"Code: (\d+)", str(error))
        raise StatementError(str(error)[match.start() if match else 0 :], int(match[1]) if match else 0) from error


def _prepare(handle: Any, request: Request, readonly: str) -> None:
    if request.database:
        handle.query(f"USE {quoted_name(request.database)}")
    # `readonly` last, since nothing can be set after it.
    settings = {name: value for name, value in request.settings.items() if name != "readonly"}
    settings["readonly"] = readonly
    handle.query("SET " + ", ".join(f"{name} = {literal(value)}" for name, value in settings.items()))


def _query(handle: Any, request: Request) -> Answer:
    result = handle.query(request.statement, request.form, params=dict(request.parameters))
    return Answer(result.bytes() or b"", request.result_format(), result.rows_read(), result.bytes_read(), insert=False)


def _insert(handle: Any, request: Request, insert: Insert) -> Answer:
    """Insert the data that follows the statement: the embedded engine reads it from a file."""
    with tempfile.NamedTemporaryFile(prefix="stepwell-insert-") as data:
        data.write(memoryview(request.statement)[insert.data_start :])
        data.flush()
        source = f" FROM INFILE {literal(data.name)}".encode()
        statement = insert.into + source + insert.settings + b" FORMAT " + insert.form
        result = handle.query(statement, "TabSeparated", params=dict(request.parameters))
        return Answer(b"", None, result.rows_read(), result.bytes_read(), insert=True)
