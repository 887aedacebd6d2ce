"""Which SQL a guest may run: one statement that reads the database and nothing else of the machine.

ClickHouse's own `readonly` setting keeps writes away and goes with this rule. It lets through, on the embedded
engine, the function `file()`, `INTO OUTFILE`, the description of remote sources, KILL and further statements after
a semicolon: those are refused here. The rule errs on the side of refusing.
"""

from __future__ import annotations

import re
from typing import Final

from stepwell_schemas.errors import StoreRejectedError

READONLY_CODE: Final = 164
"""ClickHouse's code READONLY, which a refusal carries."""

_READING: Final = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"})
_OPAQUE = re.compile(
    r"""(?P<comment>--[^\n]*|\#[\ !][^\n]*|/\*.*?\*/)
    |(?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<string>'(?:[^'\\]|\\.|'')*')
    |(?P<name>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")""",
    re.DOTALL | re.VERBOSE,
)
# Functions that reach files, networks, programs or Python objects.
_REACHING_OUT = re.compile(
    r"\b(?:(?:file|url|cluster|remote|executable|python|mysql|postgresql|mongodb|redis|sqlite|jdbc|odbc|input|hdfs|s3"
    r"|gcs|oss|cosn|filesystem|dictionary|catboostEvaluate|arrowFlight|ytsaurus)"
    r"(?:Cluster|Secure|AllReplicas|Pool)?|(?:azure|deltaLake|iceberg|hudi|paimon|s3|hdfs|loop|prometheus)\w*)\s*\(",
    re.IGNORECASE,
)
_FILES = re.compile(r"\b(?:INTO\s+OUTFILE|INFILE)\b", re.IGNORECASE)


def check_read_only(sql: str) -> None:
    """Return when a guest may run the statement.

    Raises:
        StoreRejectedError: with code 164 and what is refused.
    """
    code = _visible(sql).strip().rstrip(";").strip()
    word = re.match(r"\(*\s*(\w*)", code)
    first = word[1].upper() if word is not None else ""
    if first not in _READING:
        raise _refusal(
            f"only statements that read are allowed ({', '.join(sorted(_READING))}), not {first or 'nothing'}"
        )
    if ";" in code:
        raise _refusal("one statement at a time")
    if _FILES.search(code):
        raise _refusal("files can't be read or written")
    reaching = _REACHING_OUT.search(code)
    if reaching is not None:
        raise _refusal(f"{reaching[0].rstrip('( ')}() reaches beyond the database")


def _visible(sql: str) -> str:
    """Return the statement without comments and the contents of its strings; quoted names stand bare."""

    def replace(match: re.Match[str]) -> str:
        text = match[0]
        if match["comment"] and "/*" in text[2:]:
            raise _refusal("comments within comments are not allowed")
        if match["name"]:
            if "\\" in text:
                raise _refusal("quoted names can't hold escapes")
            return text[1:-1].replace(";", " ")
        return " " if match["comment"] else "''"

    visible = _OPAQUE.sub(replace, sql)
    # Quotes that ClickHouse also knows; behind one, strings would be taken for code and code for strings.
    if any(mark in visible for mark in "‘’“”"):
        raise _refusal("typographic quotes are not allowed outside strings")
    if "/*" in visible or "$$" in visible or visible.count("'") % 2:
        raise _refusal("a comment or a string does not end")
    return visible


def _refusal(reason: str) -> StoreRejectedError:
    return StoreRejectedError(f"Code: {READONLY_CODE}. Read-only access: {reason}. (READONLY)", READONLY_CODE)
