"""The tables of this version as the migrations make them, for `migrations/current_tables.sql`.

PYTHONPATH=tests python -m support.factories.current_tables     write the file, after a new migration
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Final

from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.migrations import runner

FILE: Final = Path(runner.__file__).with_name("current_tables.sql")
_HEAD: Final = """\
-- The tables of this version, as the migrations make them, for new databases; the migrations have the comments.
-- After a new migration: PYTHONPATH=tests python -m support.factories.current_tables
"""
_TABLES: Final = (
    "SELECT name FROM system.tables WHERE database = {database:String} AND engine != 'View'"
    " AND name != 'schema_migrations' ORDER BY engine = 'MaterializedView', name"
)
# What a table without settings gets from the server.
_DEFAULT: Final = re.compile(r"(?:\nSETTINGS|,) index_granularity = 8192$")


def migrate_by_number(store: Store) -> None:
    """Create a store's database with one migration after the other."""
    store.command("CREATE DATABASE IF NOT EXISTS {db}")
    runner.apply_missing(store, runner.migrations())


def current_tables(store: Store) -> str:
    """Return the content of the file, given a database that was migrated."""
    names = store.query(_TABLES, {"database": store.database}).column("name").to_pylist()
    return _HEAD + "".join(f"\n{_statement(store, name)};\n" for name in names)


def _statement(store: Store, table: str) -> str:
    text: str = store.query(f"SHOW CREATE TABLE {{db}}.{table}").column(0)[0].as_py()
    named = re.sub(rf"\b{store.database}\.", "{db}.", text)
    begun = re.sub(r"^CREATE (TABLE|MATERIALIZED VIEW) ", r"CREATE \1 IF NOT EXISTS ", named)
    return _DEFAULT.sub("", begun)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, connect(f"chdb://{folder}", "stepwell_tables") as opened:
        migrate_by_number(opened)
        FILE.write_text(current_tables(opened), "utf-8")
