"""Brings a database to the schema of this version: numbered migrations, each applied once, in order.

A migration is a file `migrations/NNNN_name.sql` of statements separated by `;` at a line's end, with `{db}` where
the database's name belongs. Statements are idempotent (IF NOT EXISTS, OR REPLACE), since ClickHouse has no
transaction over several of them: a migration that was cut off is run again whole. What data takes too long for one
statement is done in pieces behind them (`_THEN`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Final, NamedTuple

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.rebuild import fill_all

_THEN: Final[Mapping[int, Callable[[Store], None]]] = {7: fill_all}
_FILE_NAME = re.compile(r"(?P<number>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql")


class Migration(NamedTuple):
    """One numbered change of the schema; `statements` hold `{db}` where the database's name belongs."""

    number: int
    name: str
    statements: tuple[str, ...]


def split_statements(text: str) -> tuple[str, ...]:
    """Return the statements of a migration's file, without comment lines."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return tuple(part.strip() for part in re.split(r";\s*(?:\n|\Z)", code) if part.strip())


def migrations() -> list[Migration]:
    """Return every migration of this version, in order."""
    found = []
    for file in resources.files("stepwell_schemas").joinpath("migrations").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match is not None:
            statements = split_statements(file.read_text("utf-8"))
            found.append(Migration(int(match["number"]), match["name"], statements))
    return sorted(found)


def migrate(store: Store) -> list[Migration]:
    """Create the store's database where it is missing and apply what it lacks. Idempotent.

    Returns:
        The migrations that were applied by this call.

    Raises:
        StoreError: when ClickHouse can't be reached or refuses a statement.
    """
    store.command("CREATE DATABASE IF NOT EXISTS {db}")
    store.command(
        "CREATE TABLE IF NOT EXISTS {db}.schema_migrations"
        " (number UInt32, name String, applied_at DateTime DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY number"
    )
    done = set(store.query("SELECT number FROM {db}.schema_migrations FINAL").column("number").to_pylist())
    missing = [migration for migration in migrations() if migration.number not in done]
    for migration in missing:
        for statement in migration.statements:
            store.command(statement)
        if migration.number in _THEN:
            _THEN[migration.number](store)
        store.command(
            "INSERT INTO {db}.schema_migrations (number, name) SELECT {number:UInt32}, {name:String}",
            {"number": migration.number, "name": migration.name},
        )
    return missing
