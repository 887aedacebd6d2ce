"""Access rules of SQL: a statement may only read, and only Stepwell's database.

`/api/v1/sql` allows the database only (`api_access`). The ClickHouse port of `stepwell up` also allows its guests some
system tables (`guest_access`), since tools read tables, types and functions before they show anything. The rules are
applied by `statement_check`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from stepwell_query.sql.functions import ASKED_BY_TOOLS
from stepwell_schemas.clickhouse.tables import ACCESS_TABLES, PUBLIC_VIEWS

_ROOTS: Final = frozenset(
    {"SelectWithUnionQuery", "Explain", "DescribeQuery", "ShowTables", "ShowCreateTableQuery", "ExistsTableQuery"}
)
_GUEST_ROOTS: Final = _ROOTS | {
    *("ShowColumns", "ShowIndexes", "ShowFunctions", "ShowEngineQuery", "ShowSetting"),
    *("ShowCreateViewQuery", "ShowCreateDatabaseQuery", "ExistsDatabaseQuery", "ExistsViewQuery"),
}
_SYSTEM_TABLES: Final = frozenset(
    {
        *("databases", "tables", "columns", "views", "data_skipping_indices", "projections", "parts", "clusters"),
        *("functions", "aggregate_function_combinators", "table_functions", "table_engines", "database_engines"),
        *("data_type_families", "formats", "settings", "settings_changes", "time_zones", "collations", "keywords"),
        *("one", "numbers", "numbers_mt", "zeros", "zeros_mt", "contributors", "licenses", "build_options"),
        *("dictionaries", "completions"),
    }
)
"""Tables of the database `system` that guests may read: descriptions of tables, types and functions. Not included are
other users and their statements, the activity of the server, and the paths of its files."""

_SCOPED_SYSTEM_TABLES: Final = _SYSTEM_TABLES - {
    *("data_skipping_indices", "projections", "parts", "clusters", "dictionaries", "completions", "views")
}
"""Those without sizes of tables or names of others. `scope` filters the rows of `databases`, `tables` and `columns`."""

_INFORMATION_SCHEMA: Final = "information_schema"
_PLAIN_NAME: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class AccessRules:
    """The tables, statements and formats that are allowed.

    Attributes:
        database: the database of names without a database.
        sole_database: the only database that may be read, besides `system`; None: any database.
        system: the tables of `system` that may be read.
        roots: the kinds of statements.
        formats: True if a statement may have a FORMAT clause.
        spared: functions that are allowed although they access more than their arguments.
        scoped: only the public views may be read, and nothing may be counted that others own.
        hidden: names of tables that may not be read.
    """

    database: str
    sole_database: str | None
    system: frozenset[str] = frozenset()
    roots: frozenset[str] = _ROOTS
    formats: bool = False
    spared: re.Pattern[str] = re.compile(r"(?!)")
    scoped: bool = False
    hidden: frozenset[str] = ACCESS_TABLES

    def allows_table(self, name: str) -> bool:
        """Return True if a table may be read; `name` is from the syntax tree, with or without a database."""
        parts = name.split(".")
        if len(parts) > 2 or any(not part for part in parts):
            return False
        database, table = parts if len(parts) == 2 else (self.database, parts[0])
        if database == "system":
            return table in self.system
        if database.lower() == _INFORMATION_SCHEMA:
            return bool(self.system)
        # A name without a database may be that of a common table expression, which hides no table of this name.
        if table in self.hidden or (self.scoped and len(parts) == 2 and table not in PUBLIC_VIEWS):
            return False
        return (self.sole_database is None or database == self.sole_database) and _PLAIN_NAME.fullmatch(
            table
        ) is not None


def api_access(database: str, tables: Collection[str] | None = None) -> AccessRules:
    """Return the rules of `/api/v1/sql`: one database.

    `tables` has the names of its tables, if an identity may not read all rows.
    """
    if tables is None:
        return AccessRules(database, database)
    return AccessRules(database, database, scoped=True, hidden=_hidden(tables))


def guest_access(database: str) -> AccessRules:
    """Return the rules of guests of the ClickHouse port; names without a database are looked up in `database`."""
    return AccessRules(database, None, _SYSTEM_TABLES, _GUEST_ROOTS, formats=True, spared=ASKED_BY_TOOLS)


def scoped_guest_access(database: str, own: str, tables: Collection[str]) -> AccessRules:
    """Return the rules of guests who may not read all rows: the public views of the database `own`, with `tables`."""
    spared = ASKED_BY_TOOLS
    system = _SCOPED_SYSTEM_TABLES
    return AccessRules(database, own, system, _GUEST_ROOTS, True, spared, scoped=True, hidden=_hidden(tables))


def _hidden(tables: Collection[str]) -> frozenset[str]:
    return (ACCESS_TABLES | set(tables)) - set(PUBLIC_VIEWS)
