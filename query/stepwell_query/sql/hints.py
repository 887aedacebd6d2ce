"""Remedies for statements that ClickHouse rejects: how to read JSON texts, and where to find names."""

from __future__ import annotations

import re
from typing import Final

_JSON_COLUMNS: Final = ("config", "summary", "value")
_UNKNOWN_IDENTIFIER: Final = 47
_UNKNOWN_TABLE: Final = 60
_WRONG_TYPE: Final = 43
_SYNTAX: Final = 62

_COLUMN: Final = rf"(?:\w+\.)??(?P<column>{'|'.join(_JSON_COLUMNS)})"
_IDENTIFIER: Final = re.compile(rf"dentifier [`']{_COLUMN}\.(?P<path>[^`']+)[`']")
_BRACKETS: Final = re.compile(rf"\b{_COLUMN}\[(?P<path>'[^']*')\]")
_ARROW: Final = re.compile(rf"\b{_COLUMN}\s*(?:->>?|:(?!:))\s*(?P<path>'[^']*'|\w+)")

_PATTERNS: Final = {_UNKNOWN_IDENTIFIER: _IDENTIFIER, _WRONG_TYPE: _BRACKETS, _SYNTAX: _ARROW}
_REMEDIES: Final = {
    _UNKNOWN_IDENTIFIER: "DESCRIBE lists the columns of a view",
    _UNKNOWN_TABLE: "SHOW TABLES lists the views",
    _SYNTAX: "correct it, and send one statement",
}


def find_remedy(sql: str, code: int, message: str) -> str:
    """Return the remedy for a statement that ClickHouse rejected with an error code and a message."""
    match = None
    if code in _PATTERNS:
        match = _PATTERNS[code].search(message if code == _UNKNOWN_IDENTIFIER else sql)
    return _REMEDIES.get(code, "correct it") if match is None else _json_remedy(match["column"], match["path"])


def _json_remedy(column: str, path: str) -> str:
    keys = [path.strip("'")] if path.startswith("'") else path.split(".")
    arguments = ", ".join([column, *(f"'{key}'" for key in keys)])
    return (
        f"{column} is JSON as text: use JSONExtractFloat({arguments}), or JSONExtractString, JSONExtractInt, "
        "JSONExtractBool or JSONExtractRaw with the same arguments"
    )
