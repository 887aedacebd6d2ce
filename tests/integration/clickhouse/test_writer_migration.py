"""Migration 15 on a database with rows: views, and projections of `series`."""

from __future__ import annotations

import pytest

from stepwell_query.runs.filters.ast import Ref, Source
from stepwell_query.runs.list_facts import read_facts
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.migrated import migrate_below
from support.factories.points import RunWriter
from support.servers.stack import Stack

WRITERS = 15
VIEWS = ("numbers", "strings", "bools", "others", "media", "metrics")


@pytest.mark.parametrize("times", [1, 2])
def test_rows_of_earlier_versions_are_those_of_the_unnamed_writer(stack: Stack, new_database: str, times: int) -> None:
    with connect(stack.dsn("chdb"), new_database) as store:
        migrate_below(store, WRITERS)
        run = RunWriter(store, RunPath("e", "p", "r"), rolled=False).document()
        run.numbers("loss", range(9), [1.0] * 9).numbers("loss", [4], [2.0]).strings("text", [1], ["x"])
        sql = "SELECT * FROM {{db}}.{} ORDER BY ALL"
        before = {view: store.query(sql.format(view)).to_pylist() for view in VIEWS}
        for _ in range(times):
            # As after an interruption, when the migration is run again from its start.
            store.command("ALTER TABLE {db}.schema_migrations DELETE WHERE number = 15 SETTINGS mutations_sync = 2")
            assert WRITERS in [migration.number for migration in migrate(store)]
        for view, rows in before.items():
            assert store.query(sql.format(view)).to_pylist() == [row | {"writer": ""} for row in rows]
        names = store.query(
            "SELECT name FROM system.projections WHERE database = {database:String} AND table = 'series'",
            {"database": store.database},
        )
        assert sorted(names.column("name").to_pylist()) == ["by_key_of_writers", "keys_and_writers"]
        run.as_writer("rank1").numbers("loss", [0], [3.0]).numbers("acc", [0], [1.0])
        facts = read_facts(store, "e", "p", [Ref(Source.SUMMARY, name) for name in ("loss", "acc", "text")])
        assert (sorted(facts.spellings), facts.of_writers) == (["acc", "loss", "text"], frozenset({"acc", "loss"}))
        store.command("DROP DATABASE {db} SYNC")
