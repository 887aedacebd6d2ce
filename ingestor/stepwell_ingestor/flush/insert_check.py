"""Whether the rows of an insert are in their table.

A MergeTree without replicas notes an insert's token on disk before it gives the rows their name. Killed in between, it
comes up without the rows and drops their repetition as one it has seen: 3 of 15 kills aimed at that moment lost the
rows for good. Replicated tables note both in one transaction of Keeper. So an insert whose outcome is in doubt is
looked for after it was repeated; that costs nothing where no reply was lost.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from stepwell_ingestor.planner.point_tables import TABLES
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.limits import VERSION_ROW_BITS

_BY_VERSION: Final = f"bitShiftRight(version, {VERSION_ROW_BITS})"

# From which offset of the run's partition a row's newest part comes.
_OFFSETS: Final = {
    **dict.fromkeys([*TABLES.values(), "run_documents", "step_conflict_log", "media_files"], _BY_VERSION),
    "key_spellings": f"bitShiftRight(first_version, {VERSION_ROW_BITS})",
    "run_states": "offset - 1",
    **dict.fromkeys(["series", "run_activity", "session_activity"], "last_offset"),
}
FED: Final = {"run_documents": ("run_values", "run_texts")}
"""Tables that a view fills with what is inserted into another: an engine that is killed may have stored one alone."""

_UNREPLICATED: Final = ("ReplacingMergeTree", "AggregatingMergeTree")


def has_landed(store: Store, table: str, rows: pa.Table, first: int) -> bool:
    """Say whether `rows`, of a flush that begins at offset `first`, are in their table, and in those that it feeds.

    True where it has replicas.

    One insert is one block, there whole or not at all: its first row stands for it. A row of its run (and key) from
    `first` on is of this flush or of a later one, and no flush begins before the one before it has landed.

    Raises:
        StoreError: when ClickHouse can't be read.
    """
    behind = f"{_OFFSETS[table]} >= {{first:Int64}}"
    return all(_has_rows(store, name, rows, behind, first) for name in (table, *FED.get(table, ())))


def _has_rows(store: Store, table: str, rows: pa.Table, behind: str, first: int) -> bool:
    among = [name for name in ("sha256", "entity", "project", "run_id", "key") if name in rows.column_names]
    conditions = [f"{name} = {{{name}:String}}" for name in among]
    sql = (
        f"SELECT count() > 0 OR (SELECT any(engine) FROM system.tables WHERE database = currentDatabase()"  # noqa: S608
        f" AND name = {{table:String}}) NOT IN {_UNREPLICATED} AS landed"
        f" FROM {{db}}.{table} WHERE {' AND '.join(conditions)} AND {behind}"
    )
    values = {name: rows.column(name)[0].as_py() for name in among}
    asked = {**values, "table": table, "first": first}
    return bool(store.query(sql, asked).column("landed")[0].as_py())
