"""A switch to rebuilt tables that was interrupted: the tables hold a part of their rows until it is completed."""

from __future__ import annotations

from typing import Final

from stepwell_ingestor.errors import SwitchInterruptedError
from stepwell_ingestor.rebuild.record import TABLE, RebuildRecord
from stepwell_schemas.clickhouse.store import Store

SUFFIX: Final = "_rebuild"
"""The rebuilt tables are in a database of this name, after that of the present ones."""

SWITCHING: Final = "switching"
"""Name in the record of what a switch replaces, None before it has begun. For all runs: by table, the rebuilt UUID."""

SWITCHED: Final = "switched"
"""Name in the record of what is true once all tables were exchanged."""

_EXISTS: Final = "SELECT count() AS n FROM system.tables WHERE database = {database:String} AND name = {table:String}"
_NAMES: Final = "SELECT name FROM `{database}`.{table} FINAL"


def refuse_interrupted_switch(store: Store) -> None:
    """Check that no switch is in progress or was interrupted.

    Raises:
        SwitchInterruptedError: if one was: rows and states of runs are missing.
        StoreError: if ClickHouse can't be read.
    """
    database = f"{store.database}{SUFFIX}"
    if not store.query(_EXISTS, {"database": database, "table": TABLE}).column("n")[0].as_py():
        return
    names = {row["name"] for row in store.query(_NAMES.format(database=database, table=TABLE)).to_pylist()}
    if is_unfinished(names):
        raise SwitchInterruptedError(
            f"a rebuild was interrupted while it replaced tables of {store.database}; `stepwell rebuild` completes it"
        )


def is_unfinished(names: set[str]) -> bool:
    """Return True if a record with these names is of a switch that has begun and not ended."""
    return SWITCHING in names and SWITCHED not in names


def begin_run_switch(record: RebuildRecord, run: str) -> None:
    """Note, before the first row is deleted, that the rows of a run are replaced."""
    if record.get(SWITCHING) is None:
        record.put(SWITCHING, {"run": run})
