"""Migration 12: counts become totals, and tables get the column `writer`, wherever it is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stepwell_ingestor.flush.state_loader import load_states
from stepwell_ingestor.planner.totals import Counts, SeriesTotals
from stepwell_ingestor.positions.models import AsOf
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.migrations.rewrite import WITH_TOTALS, rewrite_all
from stepwell_schemas.migrations.runner import migrate, migrations
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.migrated import migrate_below
from support.fakes.dying_store import DyingStore, KilledError
from support.servers.stack import Stack

TOTALS = 12
(STATEMENTS,) = (migration.statements for migration in migrations() if migration.number == TOTALS)
RUN = RunPath("e", "p", "r")
# Two flushes of two runs: the second one writes a step of `k` again.
FILL = [
    "INSERT INTO {db}.points_number (entity, project, run_id, key, step, bits, exact, version) SELECT 'e', 'p',"
    " {run:String}, 'k', number % 900, reinterpretAsUInt64(number / 8), if(number = 5, '5', ''), number + 1"
    " FROM numbers(1000)",
    "INSERT INTO {db}.points_string (entity, project, run_id, key, step, value, version)"
    " VALUES ('e', 'p', {run:String}, 's', 4, 'text', 9)",
    "INSERT INTO {db}.points_bool (entity, project, run_id, key, step, value, version)"
    " VALUES ('e', 'p', {run:String}, 'b', 4, true, 9)",
    "INSERT INTO {db}.points_other (entity, project, run_id, key, step, value, version)"
    " VALUES ('e', 'p', {run:String}, 'o', 4, '[]', 9)",
    "INSERT INTO {db}.points_media (entity, project, run_id, key, kind, step, value, version)"
    " VALUES ('e', 'p', {run:String}, 'm', 'image', 4, '{}', 9)",
    "INSERT INTO {db}.rollups (entity, project, run_id, key, level, bucket, total, count, version)"
    " VALUES ('e', 'p', {run:String}, 'k', 7, 0, 1.5, 128, 3)",
    "INSERT INTO {db}.series (entity, project, run_id, key, kind, first_step, last_step, points, rewritten, value_min,"
    " value_max, value_sum, not_nan, last_number, last_offset) VALUES"
    " ('e', 'p', {run:String}, 'k', 'number', 0, 899, 900, 0, 0, 9, 10.5, 899, (899, 900, 1.5), 40),"
    " ('e', 'p', {run:String}, 'k', 'number', 0, 99, 100, 1, -1, 2, 0.25, 100, (99, 1000, 2.5), 50),"
    " ('e', 'p', {run:String}, 's', 'string', 4, 4, 1, 0, 0, 0, 0, 0, (0, 0, 0), 50)",
    "INSERT INTO {db}.run_documents (entity, project, run_id, config, summary, metric_definitions, version)"
    " VALUES ('e', 'p', {run:String}, '{}', '{}', '[]', 1)",
    "INSERT INTO {db}.run_activity (entity, project, run_id, last_step, log_rows, points, conflicts, repeated, missing,"
    " last_offset) VALUES ('e', 'p', {run:String}, 899, 900, 904, 1, 2, 3, 40), ('e', 'p', {run:String}, 99, 100, 101,"
    " 0, 1, 0, 50)",
    "INSERT INTO {db}.session_activity (entity, project, run_id, session, writer, next_sequence, log_rows, points,"
    " conflicts, dead_letters, repeated, missing, last_offset) VALUES"
    " ('e', 'p', {run:String}, 'x', 'w', 900, 900, 904, 1, 1, 2, 3, 40),"
    " ('e', 'p', {run:String}, 'x', 'w', 1000, 100, 101, 0, 0, 1, 0, 50)",
]
SHOWN = [
    *(f"SELECT * FROM {{db}}.{view} ORDER BY ALL" for view in ("numbers", "strings", "bools", "others", "media")),
    *(f"SELECT * FROM {{db}}.{view} ORDER BY ALL" for view in ("metrics", "runs")),
    "SELECT * EXCEPT version FROM {db}.rollups FINAL WHERE level = 7 AND total = 1.5 ORDER BY run_id",
    "SELECT DISTINCT entity, project, key FROM {db}.series ORDER BY ALL",
]


NEW = {"writer", "stop_requested"}


@pytest.fixture
def before(stack: Stack, new_database: str) -> Iterator[Store]:
    """A database of the version before, with the rows of two runs."""
    with connect(stack.dsn("chdb"), new_database) as store:
        migrate_below(store, TOTALS)
        for run in ("r", "r2"):
            for statement in FILL:
                store.command(statement, {"run": run})
        yield store
        store.command("DROP DATABASE {db} SYNC")


def shown(store: Store) -> list[list[dict[str, Any]]]:
    """Return what readers see, without columns that are new."""
    return [
        [{name: value for name, value in row.items() if name not in NEW} for row in store.query(sql).to_pylist()]
        for sql in SHOWN
    ]


def check(store: Store, wanted: list[list[dict[str, Any]]]) -> None:
    """Check that everything is shown as before, and that the ingestor continues the counts."""
    assert shown(store) == wanted
    state = load_states(store, [RUN], AsOf(60))[RUN]
    assert state.series == {
        ("k", "number", ""): SeriesTotals(899, 1000, 999, 10.75),
        ("s", "string", ""): SeriesTotals(4, 1, 0, 0),
    }
    assert state.counts == Counts(1000, 1005, 1, 3, 3)
    assert state.session_counts == {"x": Counts(1000, 1005, 1, 3, 3, 1)}
    left = "SELECT name FROM system.tables WHERE database = {database:String} AND name LIKE '%_next'"
    assert store.query(left, {"database": store.database}).num_rows == 0
    missing = (
        "SELECT table FROM system.columns WHERE database = {database:String} AND name = 'writer'"
        " AND table IN {t:Array(String)}"
    )
    tables = [rewrite.table for rewrite in WITH_TOTALS if rewrite.table != "run_activity"]
    assert store.query(missing, {"database": store.database, "t": tables}).num_rows == len(tables)


@pytest.mark.parametrize(
    ("deaths", "after"),
    [
        # To die after a statement leaves what to die before the next one does.
        (1, False),
        (2, True),
        (19, False),
        (25, True),
        *(
            pytest.param(deaths, after, marks=pytest.mark.long)
            for deaths, after in ((0, False), (0, True), (1, True), (2, False), (19, True), (25, False))
        ),
    ],
)
def test_what_was_stored_before_is_shown_as_before(before: Store, deaths: int, after: bool) -> None:
    wanted = shown(before)
    assert all(wanted)
    for statement in STATEMENTS:
        before.command(statement)
    with pytest.raises(KilledError):
        rewrite_all(WITH_TOTALS, DyingStore(before, deaths, after=after))
    assert TOTALS in [migration.number for migration in migrate(before)]
    check(before, wanted)


@pytest.mark.parametrize("cut", [1, pytest.param(2, marks=pytest.mark.long), len(STATEMENTS)])
def test_the_successors_are_created_again(before: Store, cut: int) -> None:
    wanted = shown(before)
    for statement in STATEMENTS[:cut]:
        before.command(statement)
    migrate(before)
    check(before, wanted)
