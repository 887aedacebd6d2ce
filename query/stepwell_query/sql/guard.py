"""The settings that filter the rows of a scope in one database, after a check that its ClickHouse applies them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from threading import Lock
from typing import Final, NamedTuple

from cachetools import TTLCache, cached

from stepwell_query.errors import SqlRefusedError
from stepwell_query.sql.scope import FILTERS_MAX_CHARS, RowScope, nothing_settings, scope_settings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS

_SECONDS: Final = 60
_FILTERED: Final = "additional_table_filters"
_TABLES: Final = """
SELECT t.name AS name, t.engine NOT LIKE '%View' AS stored, c.number = 2 AS owned
FROM system.tables AS t
LEFT JOIN
(
    SELECT table, countIf(name IN ('entity', 'project')) AS number FROM system.columns
    WHERE database = {database:String} GROUP BY table
) AS c ON c.table = t.name
WHERE t.database = {database:String}
"""
_MIGRATIONS: Final = "schema_migrations"


class Tables(NamedTuple):
    """The names of a database's tables and views: all of them, and the tables whose rows belong to projects."""

    all: frozenset[str]
    owned: frozenset[str]


class Guard(NamedTuple):
    """The settings under which statements of a scope run, and the names of all tables of the database."""

    settings: Mapping[str, str]
    tables: frozenset[str]


def guard_rows(store: Store, scope: RowScope, database: str | None = None) -> Guard:
    """Return the settings that filter the rows of a scope in a database, by default the store's own.

    Raises:
        SqlRefusedError: when ClickHouse does not apply filters, or the scope has too many resources.
        StoreError: when ClickHouse does not answer.
    """
    database = database or store.database
    tables = _checked_tables(store, database)
    settings = scope_settings(scope, database, tables.owned)
    if len(settings[_FILTERED]) > FILTERS_MAX_CHARS:
        rule = "can't be limited to so many projects"
        raise SqlRefusedError("", rule, "use a key with fewer projects, or with whole entities")
    return Guard(settings, tables.all)


# A minute, so that tables of a migration are known soon.
@cached(TTLCache(maxsize=8, ttl=_SECONDS), lock=Lock())
def _checked_tables(store: Store, database: str) -> Tables:
    rows = store.query(_TABLES, {"database": database}).to_pylist()
    tables = Tables(
        frozenset(row["name"] for row in rows),
        frozenset(row["name"] for row in rows if row["stored"] and row["owned"]),
    )
    # With filters that no row passes, every public view must be empty, and so must a table that never is.
    probed = sorted((tables.all & set(PUBLIC_VIEWS)) | {_MIGRATIONS})
    selects = [f"SELECT count() AS n FROM (SELECT 1 FROM `{database}`.{name} LIMIT 1)" for name in probed]  # noqa: S608
    sql = f"SELECT sum(n) AS n FROM ({' UNION ALL '.join(selects)})"  # noqa: S608 - of the names above
    answer = store.query_bytes(sql, None, "JSONCompact", nothing_settings(database, tables.owned | {_MIGRATIONS}))
    if int(json.loads(answer)["data"][0][0]):
        rule = "can't be limited to your projects: this ClickHouse does not apply `additional_table_filters` in views"
        raise SqlRefusedError("", rule, "update ClickHouse, or use a key that reads all data")
    return tables
