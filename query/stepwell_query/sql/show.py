"""SHOW statements: refusal of what their syntax tree does not contain, and SHOW TABLES of the public views alone."""

from __future__ import annotations

import re
from typing import Final

from stepwell_query.errors import SqlRefusedError
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS

# `EXPLAIN AST` prints neither the condition nor the limit of a SHOW statement, which can contain subqueries.
_HIDDEN: Final = re.compile(r"\bWHERE\b|\bLIMIT (?!\d+$)")
_SHOW_TABLES: Final = re.compile(
    r"(?P<head>SHOW (?:FULL )?TABLES(?: FROM \S+)?)(?: (?P<like>(?:NOT )?I?LIKE '.*'))?(?P<limit> LIMIT \d+)?",
    re.DOTALL,
)
_NAMES: Final = ", ".join(f"'{name}'" for name in PUBLIC_VIEWS)


def check_show(sql: str, bare: str) -> None:
    """Check a SHOW statement; `bare` is the statement with the content of its quotes masked.

    Raises:
        SqlRefusedError: when it has a condition, or a limit that is not a number.
    """
    if _HIDDEN.search(bare):
        raise SqlRefusedError(sql, "shows by a condition, which can't be checked", "use LIKE, and a number as LIMIT")


def show_public_views(sql: str) -> str:
    """Return a checked statement with SHOW TABLES restricted to the public views; other statements unchanged.

    The other tables are internal, and change with any version.
    """
    match = _SHOW_TABLES.fullmatch(sql)
    if match is None:
        return sql
    like = f" AND name {match['like']}" if match["like"] else ""
    return f"{match['head']} WHERE name IN ({_NAMES}){like}{match['limit'] or ''}"
