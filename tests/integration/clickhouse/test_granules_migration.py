"""Migration 17 on a database with rollups, interrupted anywhere: they are the same rows in smaller granules."""

from __future__ import annotations

import pytest

from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.migrations.rewrite import WITH_GRANULES, rewrite_all
from stepwell_schemas.migrations.runner import migrate, migrations
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.migrated import migrate_below
from support.factories.points import RunWriter
from support.fakes.dying_store import DyingStore, KilledError
from support.servers.stack import Stack

GRANULES = 17
(STATEMENTS,) = (migration.statements for migration in migrations() if migration.number == GRANULES)


def rollups(store: Store) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = store.query("SELECT * FROM {db}.rollups ORDER BY ALL").to_pylist()
    return rows


def granularity(store: Store) -> str:
    sql = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = 'rollups'"
    engine = str(store.query(sql, {"database": store.database}).column("engine_full")[0].as_py())
    return engine.rpartition("SETTINGS ")[2]


@pytest.mark.one_dsn
# To die after a statement leaves what to die before the next one does.
@pytest.mark.parametrize(
    ("deaths", "after"),
    [(1, False), (1, True), (2, True), (4, False), (99, True), pytest.param(3, True, marks=pytest.mark.long)],
)
def test_rollups_are_the_same_after_an_interruption(stack: Stack, new_database: str, deaths: int, after: bool) -> None:
    with connect(stack.dsn("chdb"), new_database) as store:
        migrate_below(store, GRANULES)
        for name in ("a", "b"):
            RunWriter(store, RunPath("e", "p", name)).document().numbers("loss", range(9_000), [1.0] * 9_000)
        before = rollups(store)
        assert len(before) > 140
        for statement in STATEMENTS:
            store.command(statement)
        try:
            rewrite_all(WITH_GRANULES, DyingStore(store, deaths, after=after))
        except KilledError:
            assert deaths < 99
        assert GRANULES in [migration.number for migration in migrate(store)]
        assert rollups(store) == before
        assert granularity(store) == "index_granularity = 1024, min_compress_block_size = 8192"
        store.command("DROP DATABASE {db} SYNC")
