"""Parsing of a request of ClickHouse's HTTP protocol: the statement, its parameters, settings and data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.parser import BytesParser
from email.policy import HTTP
from typing import Final, NamedTuple, Self

_UNKNOWN_SETTING_CODE: Final = 115

# Fields of a URL that belong to the protocol and are not settings of the engine.
PROTOCOL_FIELDS: Final = frozenset(
    {
        *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role"),
        *("session_id", "session_timeout", "session_check", "compress", "decompress", "enable_http_compression"),
        *("buffer_size", "wait_end_of_query", "client_protocol_version", "add_http_cors_header"),
        *("send_progress_in_http_headers", "http_headers_progress_interval_ms"),
        "cancel_http_readonly_queries_on_client_close",
    }
)
_ESCAPED: Final = str.maketrans(
    {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f", "'": "\\'"}
)
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
STREAMED: Final = frozenset(
    {
        *("ArrowStream", "Native", "RowBinary", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV"),
        *("JSONEachRow", "JSONLines", "NDJSON", "JSONStringsEachRow", "JSONCompactEachRow", "LineAsString", "RawBLOB"),
    }
)
"""Formats whose blocks can be concatenated to a valid answer, so that it need not be held in memory."""

_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*(?:SETTINGS\b.*)?;?\s*\Z", re.IGNORECASE | re.DOTALL)
_ROWS = re.compile(rb"\A[\s(]*(?:SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS)\b", re.IGNORECASE)
_INSERT = re.compile(
    rb"\A\s*(?P<into>INSERT\s+INTO\s.+?)(?P<settings>\sSETTINGS\s.+?)?\s+FORMAT\s+(?P<form>\w+)[ \t;]*(?:\r?\n|\Z)",
    re.IGNORECASE | re.DOTALL,
)


class StatementError(Exception):
    """An error that is returned instead of a result; `code` is ClickHouse's, `headers` are added to the answer."""

    def __init__(self, message: str, code: int, headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.headers = dict(headers or {})
        super().__init__(message)


class Insert(NamedTuple):
    """An insert with its data: `into` FORMAT `form`, the data from byte `data_start` of the statement on."""

    into: bytes
    settings: bytes
    form: bytes
    data_start: int


@dataclass(frozen=True)
class Request:
    """One statement with its parameters and settings; `statement` includes the data of an insert.

    If `buffered` is set, the answer is sent only when it is complete.
    """

    statement: bytes
    form: str
    database: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    buffered: bool = False

    @classmethod
    def parse(cls, fields: Mapping[str, str], body: bytes, form: str | None) -> Self:
        """Parse the fields of a URL, the body, and the format that a header requests.

        Raises:
            StatementError: for an invalid name of a setting.
        """
        statement = fields["query"].encode() + (b"\n" + body if body else b"") if "query" in fields else body
        settings = {
            name: value
            for name, value in fields.items()
            if name not in PROTOCOL_FIELDS and not name.startswith("param_")
        }
        for name in settings:
            if _SETTING.fullmatch(name) is None:
                raise StatementError(
                    f"Code: {_UNKNOWN_SETTING_CODE}. DB::Exception: Setting {name!r} is unknown. (UNKNOWN_SETTING)",
                    _UNKNOWN_SETTING_CODE,
                )
        return cls(
            statement,
            fields.get("default_format") or form or "TabSeparated",
            fields.get("database", ""),
            {name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")},
            settings,
            fields.get("wait_end_of_query") == "1",
        )

    def rewritten(self, statement: str, form: str) -> Self:
        """Return the request with another text for its statement, and the format of its answer."""
        return replace(self, statement=statement.encode(), form=form)

    def insert(self) -> Insert | None:
        """Return the parts of an insert whose data follows the statement, or None; VALUES are part of the SQL text."""
        match = _INSERT.match(self.statement)
        if match is None or match["form"].upper() == b"VALUES":
            return None
        return Insert(match["into"], match["settings"] or b"", match["form"], match.end())

    def streamed(self) -> bool:
        """Return whether the answer is streamed: the blocks of its format can be concatenated."""
        return not self.buffered and self.result_format() in STREAMED

    def result_format(self) -> str | None:
        """Return the output format of the statement; None if it returns no rows."""
        if _ROWS.match(self.statement) is None:
            return None
        named = _FORMAT.search(self.statement)
        return named[1].decode() if named else self.form


def parameter(text: str) -> str:
    """Return a text in the escaped form of a `{name:String}` parameter."""
    return text.translate(_ESCAPED)


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


def literal(text: str) -> str:
    """Return a text as a string of SQL."""
    return "'{}'".format(text.replace("\\", "\\\\").replace("'", "\\'"))


def quoted_name(name: str) -> str:
    """Return a name as a quoted identifier of SQL."""
    return "`{}`".format(name.replace("\\", "\\\\").replace("`", "\\`"))
