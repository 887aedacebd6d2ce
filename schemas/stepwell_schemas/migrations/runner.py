"""Migrate a database to the schema of this version, by numbered migrations that are applied once, in order.

A migration is a file `migrations/NNNN_name.sql` of statements separated by `;` at the end of a line, with `{db}` as a
placeholder for the database's name. Statements are idempotent (IF NOT EXISTS, OR REPLACE), since ClickHouse has no
transactions over several statements: an interrupted migration is run again from its start. Changes of data that are too
large for one statement run in slices, after the statements (`_THEN`), or after all migrations, if they use the tables
as they are in this version (`_AT_LAST`).

A new database gets the tables of this version from `current_tables.sql`, and the last text of each view, which takes a
third of the processor time of all migrations. A test holds that both ways lead to the same schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from typing import Final, NamedTuple

import pyarrow as pa

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.migrations.rewrite import WITH_GRANULES, WITH_TOTALS, rewrite_all
from stepwell_schemas.rollups.rebuild import fill_all

_THEN: Final[Mapping[int, Callable[[Store], None]]] = {
    12: partial(rewrite_all, WITH_TOTALS),
    17: partial(rewrite_all, WITH_GRANULES),
}
_AT_LAST: Final[Mapping[int, Callable[[Store], None]]] = {7: fill_all}
_BEGUN: Final = "schema_begun_{number:04d}"
_RECORDS: Final = (
    "CREATE TABLE IF NOT EXISTS {db}.schema_migrations"
    " (number UInt32, name String, applied_at DateTime DEFAULT now()) ENGINE = ReplacingMergeTree ORDER BY number"
)
_VIEW = re.compile(r"CREATE OR REPLACE VIEW \{db\}\.(?P<name>[a-z_]+) AS")
_FILE_NAME = re.compile(r"(?P<number>[0-9]{4})_(?P<name>[a-z0-9_]+)\.sql")


class Migration(NamedTuple):
    """A numbered change of the schema; `statements` have the placeholder `{db}` for the database's name."""

    number: int
    name: str
    statements: tuple[str, ...]


def split_statements(text: str) -> tuple[str, ...]:
    """Return the statements of a migration's file, without comment lines."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return tuple(part.strip() for part in re.split(r";\s*(?:\n|\Z)", code) if part.strip())


def migrations() -> list[Migration]:
    """Return every migration of this version, in order."""
    known = []
    for file in resources.files("stepwell_schemas").joinpath("migrations").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match is not None:
            statements = split_statements(file.read_text("utf-8"))
            known.append(Migration(int(match["number"]), match["name"], statements))
    return sorted(known)


def migrate(store: Store) -> list[Migration]:
    """Create the store's database if it is missing, and apply the missing migrations. Idempotent.

    Returns:
        The migrations applied by this call.

    Raises:
        StoreError: if ClickHouse can't be reached or refuses a statement.
    """
    store.command("CREATE DATABASE IF NOT EXISTS {db}")
    known = migrations()
    if _is_new(store, known):
        create_current(store, known)
        return known
    return apply_missing(store, known)


def create_current(store: Store, known: Sequence[Migration]) -> None:
    """Create the tables and views of this version in an empty database. Raises: StoreError.

    A call that was interrupted leaves the table `_BEGUN`, by which a next call of the same version continues.
    """
    begun = _BEGUN.format(number=known[-1].number)
    tables = resources.files("stepwell_schemas").joinpath("migrations", "current_tables.sql").read_text("utf-8")
    store.command(f"CREATE TABLE IF NOT EXISTS {{db}}.{begun} (number UInt32) ENGINE = Memory")
    for statement in (*split_statements(tables), *_last_views(known), _RECORDS):
        store.command(statement)
    applied = {"number": [one.number for one in known], "name": [one.name for one in known]}
    store.insert("schema_migrations", pa.table(applied, pa.schema({"number": pa.uint32(), "name": pa.string()})))
    store.command(f"DROP TABLE IF EXISTS {{db}}.{begun} SYNC")


def apply_missing(store: Store, known: Sequence[Migration]) -> list[Migration]:
    """Apply those of some migrations that the database lacks, and return them. Raises: StoreError."""
    store.command(_RECORDS)
    done = set(store.query("SELECT number FROM {db}.schema_migrations FINAL").column("number").to_pylist())
    missing = [migration for migration in known if migration.number not in done]
    for migration in missing:
        for statement in migration.statements:
            store.command(statement)
        if migration.number in _THEN:
            _THEN[migration.number](store)
        if migration.number not in _AT_LAST:
            _record(store, migration)
    for migration in missing:
        if migration.number in _AT_LAST:
            _AT_LAST[migration.number](store)
            _record(store, migration)
    return missing


def _is_new(store: Store, known: Sequence[Migration]) -> bool:
    """Return True for a database without tables, or with those of an interrupted `create_current`."""
    sql = "SELECT name FROM system.tables WHERE database = {database:String}"
    names = store.query(sql, {"database": store.database}).column("name").to_pylist()
    return not names or _BEGUN.format(number=known[-1].number) in names


def _last_views(known: Sequence[Migration]) -> list[str]:
    """Return the statement that creates each view as it is in this version, in the order of the migrations."""
    last: dict[str, str] = {}
    for statement in (statement for migration in known for statement in migration.statements):
        if (match := _VIEW.match(statement)) is not None:
            last.pop(match["name"], None)
            last[match["name"]] = statement
    return list(last.values())


def _record(store: Store, migration: Migration) -> None:
    store.command(
        "INSERT INTO {db}.schema_migrations (number, name) SELECT {number:UInt32}, {name:String}",
        {"number": migration.number, "name": migration.name},
    )
