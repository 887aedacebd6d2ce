"""Check if the rows of an insert are in their table.

A non-replicated MergeTree writes an insert's token to disk before it renames the part with the rows. If it is killed in
between, it restarts without the rows and drops the repeated insert as a duplicate: 3 of 15 kills aimed at that moment
lost the rows for good. Replicated tables write both in one Keeper transaction. Therefore an insert whose outcome is in
doubt is checked after it was repeated; this costs nothing while no reply is lost.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from stepwell_schemas.clickhouse.run_rows import FED
from stepwell_schemas.clickhouse.run_rows import OFFSETS as RUN_OFFSETS
from stepwell_schemas.clickhouse.store import Store

# By table, the SQL of the offset that a row comes from.
OFFSETS: Final = {**RUN_OFFSETS, "run_states": "offset - 1"}

_IS_REPLICATED: Final = (
    "(SELECT any(engine) FROM system.tables WHERE database = currentDatabase() AND name = {table:String})"
    " NOT IN ('ReplacingMergeTree', 'AggregatingMergeTree')"
)


def insert_is_visible(store: Store, table: str, rows: pa.Table, first: int) -> bool:
    """Return True like `rows_are_visible`, and without a check for replicated tables.

    Raises:
        StoreError: if ClickHouse can't be read.
    """
    return _all_visible(store, table, rows, first, _IS_REPLICATED)


def rows_are_visible(store: Store, table: str, rows: pa.Table, first: int) -> bool:
    """Return True if `rows`, of a flush that begins at offset `first`, are in their table and in those that it feeds.

    An insert is one block, stored completely or not at all, so that its first row is sufficient evidence. A row of the
    same run (and key) from `first` on belongs to this flush or a later one, and no flush begins before the previous
    one is stored.

    Raises:
        StoreError: if ClickHouse can't be read.
    """
    return _all_visible(store, table, rows, first, "false")


def _all_visible(store: Store, table: str, rows: pa.Table, first: int, exempt: str) -> bool:
    since_first = f"{OFFSETS[table]} >= {{first:Int64}}"
    return all(_has_rows(store, name, rows, since_first, first, exempt) for name in (table, *FED.get(table, ())))


def _has_rows(store: Store, table: str, rows: pa.Table, since_first: str, first: int, exempt: str) -> bool:
    among = [name for name in ("sha256", "entity", "project", "run_id", "key") if name in rows.column_names]
    conditions = [f"{name} = {{{name}:String}}" for name in among]
    sql = (
        f"SELECT count() > 0 OR {exempt} AS landed"  # noqa: S608 - names of this module
        f" FROM {{db}}.{table} WHERE {' AND '.join(conditions)} AND {since_first}"
    )
    values = {name: rows.column(name)[0].as_py() for name in among}
    parameters = {**values, "table": table, "first": first}
    return bool(store.query(sql, parameters).column("landed")[0].as_py())
