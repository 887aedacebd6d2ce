"""Give the rows and the name of a table to its successor `<table>_next`, when an ALTER can't make the change.

A table is copied in slices of some runs, then both names are exchanged, which is atomic, and the old table is dropped.
It may be interrupted anywhere: the migration creates the successors again, and a table that has been replaced is known
by its definition, which is that of its successor. Needs free disk space for one table at a time.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import POINT_TABLES, RUNS_CONDITION

_SLICE_ROWS: Final = 5_000_000
_SLICE_RUNS: Final = 200
_RUN: Final = ("entity", "project", "run_id")


class Rewrite(NamedTuple):
    """The change of a table.

    `totals`: the counts that become the column `totals`, for tables whose rows are merged; others keep their rows.
    `keys`: further columns of such a table's key. `merged`: the other columns, with their aggregate functions.
    """

    table: str
    totals: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    merged: tuple[tuple[str, str], ...] = ()


_COUNTS: Final = ("log_rows", "points", "conflicts", "repeated", "missing")
WITH_TOTALS: Final = (
    *(Rewrite(table) for table in (*dict.fromkeys(POINT_TABLES.values()), "rollups")),
    Rewrite(
        "series",
        ("last_step", "points", "not_nan", "value_sum"),
        ("key", "kind"),
        (
            ("first_step", "min"), ("last_step", "max"), ("rewritten", "max"), ("first_version", "min"),
            ("value_min", "min"), ("value_max", "max"), ("last_number", "max"), ("last_text", "max"),
            ("last_offset", "max"), ("stream", "min"),
        ),
    ),
    Rewrite(
        "run_activity",
        _COUNTS,
        (),
        (("first_timestamp", "min"), ("last_timestamp", "max"), ("last_step", "max"), ("last_offset", "max")),
    ),
    Rewrite(
        "session_activity",
        (*_COUNTS, "dead_letters"),
        ("session",),
        (("writer", "max"), ("next_sequence", "max"), ("last_offset", "max")),
    ),
)  # fmt: skip
"""The tables of migration 12, whose rows get a writer, or totals."""

WITH_GRANULES: Final = (Rewrite("rollups"),)
"""The table of migration 17, whose granules are smaller."""


def rewrite_all(rewrites: Sequence[Rewrite], store: Store) -> None:
    """Replace tables by their successors, which exist and are empty. Raises: StoreError."""
    for rewrite in rewrites:
        table = rewrite.table
        columns, definition = _definition(store, table)
        if (columns, definition) != _definition(store, f"{table}_next"):
            for runs in _slices(store, table):
                # Copied tables have no tokens, and none of their blocks may be taken for a repetition.
                sql = f"{_copying(rewrite, columns)} SETTINGS insert_deduplicate = 0"
                store.command(sql, {"runs": runs})
            store.command(f"EXCHANGE TABLES {{db}}.{table} AND {{db}}.{table}_next")
        store.command(f"DROP TABLE {{db}}.{table}_next SYNC")


def _definition(store: Store, table: str) -> tuple[list[str], str]:
    """Return the stored columns of a table, and its engine with keys and settings."""
    named = {"database": store.database, "table": table}
    sql = (
        "SELECT name FROM system.columns WHERE database = {database:String} AND table = {table:String}"
        " AND default_kind != 'ALIAS' ORDER BY position"
    )
    names: list[str] = store.query(sql, named).column("name").to_pylist()
    sql = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}"
    return names, str(store.query(sql, named).column("engine_full")[0].as_py())


def _slices(store: Store, table: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the runs of a table in groups of bounded size; a larger run is alone."""
    sql = f"SELECT {', '.join(_RUN)}, count() AS rows FROM {{db}}.{table} GROUP BY {', '.join(_RUN)} ORDER BY ALL"
    runs: list[tuple[Any, ...]] = []
    rows = 0
    for row in store.query(sql).to_pylist():
        if runs and (rows + row["rows"] > _SLICE_ROWS or len(runs) == _SLICE_RUNS):
            yield runs
            runs, rows = [], 0
        runs.append(tuple(row[name] for name in _RUN))
        rows += row["rows"]
    if runs:
        yield runs


def _copying(rewrite: Rewrite, columns: Sequence[str]) -> str:
    """Return the statement that copies the rows of the runs in the parameter `runs`."""
    source = f"FROM {{db}}.{rewrite.table} AS old WHERE {RUNS_CONDITION}"
    if not rewrite.totals:
        names = ", ".join(columns)
        return f"INSERT INTO {{db}}.{rewrite.table}_next ({names}) SELECT {names} {source}"
    keys = ", ".join((*_RUN, *rewrite.keys))
    functions = dict(rewrite.merged)
    merged = ", ".join(f"{function}(old.{name})" for name, function in functions.items())
    counts = ", ".join(f"{functions.get(name, 'sum')}(old.{name})" for name in rewrite.totals)
    # What the last flush added is not known any more, so it can't be undone: the totals before it are those after it.
    totals = f"tuple(toUInt64(max(old.last_offset) + 1), {counts}, {counts})"
    return (
        f"INSERT INTO {{db}}.{rewrite.table}_next ({keys}, {', '.join(functions)}, totals)"
        f" SELECT {keys}, {merged}, {totals} {source} GROUP BY {keys}"
    )
