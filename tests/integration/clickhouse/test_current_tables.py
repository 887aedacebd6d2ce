"""A new database has the tables and views of this version, as if each migration had been applied to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.migrations.runner import migrate, migrations
from support.factories.current_tables import FILE, current_tables, migrate_by_number
from support.servers.stack import Stack

# Statements of a new database before the interruption: of its tables, before its views, and all but the last one.
_BEFORE = (5, 30, 41)


@contextmanager
def a_database(stack: Stack, name: str) -> Iterator[Store]:
    with connect(stack.dsn("chdb"), name, pool_size=1) as store:
        yield store
        store.command("DROP DATABASE IF EXISTS {db} SYNC")


def schema(store: Store) -> list[dict[str, Any]]:
    """Return the tables, views, columns and applied migrations of a database."""
    named = {"database": store.database}
    tables = (
        "SELECT name, engine_full, replaceAll(create_table_query, {database:String}, '') AS text, as_select"
        " FROM system.tables WHERE database = {database:String} ORDER BY name"
    )
    columns = (
        "SELECT * EXCEPT (database, data_compressed_bytes, data_uncompressed_bytes, marks_bytes)"
        " FROM system.columns WHERE database = {database:String} ORDER BY table, position"
    )
    applied = "SELECT number, name FROM {db}.schema_migrations FINAL ORDER BY number"
    return [row for sql in (tables, columns, applied) for row in store.query(sql, named).to_pylist()]


def without_name(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [{key: str(value).replace(name, "") for key, value in row.items()} for row in rows]


@pytest.fixture
def by_number(stack: Stack, new_database: str) -> Iterator[Store]:
    """A database to which each migration was applied."""
    with a_database(stack, f"{new_database}_numbers") as store:
        migrate_by_number(store)
        yield store


def test_a_new_database_has_the_schema_that_all_migrations_lead_to(
    stack: Stack, new_database: str, by_number: Store
) -> None:
    assert FILE.read_text("utf-8") == current_tables(by_number), "renew it: python -m support.factories.current_tables"
    with a_database(stack, new_database) as new:
        assert migrate(new) == migrations()
        assert without_name(schema(new), new.database) == without_name(schema(by_number), by_number.database)
        assert migrate(new) == []


@pytest.mark.parametrize("before", _BEFORE)
def test_an_interrupted_creation_is_continued(stack: Stack, new_database: str, database: str, before: int) -> None:
    with a_database(stack, new_database) as store, connect(stack.dsn("chdb"), database, pool_size=1) as other:
        command = store.command
        run: list[str] = []

        def interrupted(sql: str, *arguments: Any) -> None:
            if len(run) == before:
                raise StoreRejectedError("interrupted")
            run.append(sql)
            command(sql, *arguments)

        with patch.object(store, "command", interrupted), pytest.raises(StoreRejectedError, match="interrupted"):
            migrate(store)
        assert migrate(store) == migrations()
        assert without_name(schema(store), store.database) == without_name(schema(other), other.database)


def test_tables_without_a_record_of_migrations_are_migrated_one_by_one(
    stack: Stack, new_database: str, by_number: Store
) -> None:
    first = migrations()[0]
    with a_database(stack, new_database) as store:
        store.command("CREATE DATABASE {db}")
        for statement in first.statements:
            store.command(statement)
        assert migrate(store) == migrations()
        assert without_name(schema(store), store.database) == without_name(schema(by_number), by_number.database)
