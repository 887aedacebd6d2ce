"""Runs one statement that came over ClickHouse's HTTP protocol on the embedded engine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any, Final, Self

import chdb

from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.readonly import check_read_only

AUTHENTICATION_CODE: Final = 516
_SYNTAX_CODE: Final = 62

# Fields of a URL that are the protocol's and not settings of the engine.
_PROTOCOL_FIELDS: Final = frozenset(
    {
        *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role"),
        *("session_id", "session_timeout", "session_check", "compress", "decompress", "enable_http_compression"),
        *("buffer_size", "wait_end_of_query", "client_protocol_version", "add_http_cors_header"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        "cancel_http_readonly_queries_on_client_close",
    }
)
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b.*)?;?\s*\Z", re.IGNORECASE | re.DOTALL)
_ROWS = re.compile(rb"\A[\s(]*(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS)\b", re.IGNORECASE)
_INSERT = re.compile(
    rb"\A\s*(?P<into>INSERT\s+INTO\s.+?)(?P<settings>\sSETTINGS\s.+?)?\s+FORMAT\s+(?P<form>\w+)[ \t;]*(?:\r?\n|\Z)",
    re.IGNORECASE | re.DOTALL,
)


class StatementError(Exception):
    """What the engine answered instead of a result; `code` is ClickHouse's."""

    def __init__(self, message: str, code: int) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Request:
    """One statement with what belongs to it; `statement` holds an insert's data too."""

    statement: bytes
    form: str
    database: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]

    @classmethod
    def parse(cls, fields: Mapping[str, str], body: bytes, form: str | None) -> Self:
        """Read the fields of a URL and the body of a request; raises StatementError for unusable setting names."""
        statement = fields["query"].encode() + (b"\n" + body if body else b"") if "query" in fields else body
        settings = {
            name: value
            for name, value in fields.items()
            if name not in _PROTOCOL_FIELDS and not name.startswith("param_")
        }
        for name in settings:
            if _SETTING.fullmatch(name) is None:
                raise StatementError(f"Code: 115. DB::Exception: Setting {name!r} is unknown. (UNKNOWN_SETTING)", 115)
        return cls(
            statement,
            fields.get("default_format") or form or "TabSeparated",
            fields.get("database", ""),
            {name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")},
            settings,
        )


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

    Raises:
        StatementError: with the engine's code.
    """
    if not request.statement.strip():
        raise StatementError(f"Code: {_SYNTAX_CODE}. DB::Exception: Empty query. (SYNTAX_ERROR)", _SYNTAX_CODE)
    readonly = request.settings.get("readonly", "0") if writer else "1"
    try:
        if readonly != "0":
            check_read_only(request.statement.decode())
        handle = open_handle(folder)
        try:
            _prepare(handle, request, readonly)
            return _execute(handle, request)
        finally:
            handle.close()
    except StoreRejectedError as error:
        raise StatementError(str(error), error.code) from error
    except UnicodeDecodeError as error:
        raise StatementError("Code: 62. DB::Exception: The statement is not UTF-8. (SYNTAX_ERROR)", 62) from error
    except RuntimeError as error:
        match = re.search(r"Code: (\d+)", str(error))
        raise StatementError(str(error)[match.start() if match else 0 :], int(match[1]) if match else 0) from error


def form_fields(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a multipart form by name."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="Content-Disposition")
        content = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode()
    return fields


def open_handle(folder: Path) -> Any:
    """Return a connection to the engine of this process, which is started with the first one."""
    connect: Any = chdb.connect
    return connect(str(folder))


def _prepare(handle: Any, request: Request, readonly: str) -> None:
    if request.database:
        handle.query("USE `{}`".format(request.database.replace("\\", "\\\\").replace("`", "\\`")))
    # Last, since nothing can be set after it.
    settings = {**request.settings, "readonly": readonly}
    settings["readonly"] = settings.pop("readonly")
    handle.query("SET " + ", ".join(f"{name} = {_literal(value)}" for name, value in settings.items()))


def _execute(handle: Any, request: Request) -> Answer:
    insert = _INSERT.match(request.statement)
    if insert is not None and insert["form"].upper() != b"VALUES":
        return _insert(handle, insert, request)
    result = handle.query(request.statement, request.form, params=dict(request.parameters))
    named = _FORMAT.search(request.statement)
    form = (named[1].decode() if named else request.form) if _ROWS.match(request.statement) else None
    return Answer(result.bytes() or b"", form, result.rows_read(), result.bytes_read(), insert is not None)


def _insert(handle: Any, insert: re.Match[bytes], request: Request) -> Answer:
    """Insert the data that follows the statement: the embedded engine reads it from a file."""
    with tempfile.NamedTemporaryFile(prefix="stepwell-insert-") as data:
        data.write(memoryview(request.statement)[insert.end() :])
        data.flush()
        source = f" FROM INFILE {_literal(data.name)}".encode()
        statement = insert["into"] + source + (insert["settings"] or b"") + b" FORMAT " + insert["form"]
        result = handle.query(statement, "TabSeparated", params=dict(request.parameters))
        return Answer(b"", None, result.rows_read(), result.bytes_read(), insert=True)


def _literal(text: str) -> str:
    return "'{}'".format(text.replace("\\", "\\\\").replace("'", "\\'"))
