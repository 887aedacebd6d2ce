"""The switch from the present tables to the rebuilt ones. Every step may be interrupted, and repeated.

Replaced rows of a run have the time of the switch in `rebuilt_at` of `run_activity`, since a rebuild need not change
how far a run is stored. Readers see by it that what they know of the run has to be read again.

All runs: each table is exchanged with its counterpart, which ClickHouse does atomically for a table at a time. The
record says which table is to come from the other database, by its UUID, so that no table is exchanged back.

One run: its rows are deleted from each table and copied from the rebuilt one. The record says so before, so that no
ingestor takes a run without rows for a new one, and the next rebuild completes it.
"""

# ruff: noqa: S608 - statements are put together from names in system.tables, which are quoted.

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping
from typing import Final

from stepwell_ingestor.rebuild.record import TABLE as RECORD
from stepwell_ingestor.rebuild.record import RebuildRecord
from stepwell_ingestor.rebuild.unfinished_switch import SWITCHING
from stepwell_schemas.clickhouse.run_rows import FED
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import ACCESS_TABLES, RETENTION_TABLES, RUN_CONDITION
from stepwell_schemas.rules.identifiers import RunPath

# Last, so that events which an ingestor stores in the middle of an interrupted switch are read again once it is
# complete: the tables are then behind the group.
_LAST: Final = "log_positions"
# After the rows that its readers then read again.
_ACTIVITY: Final = "run_activity"
_MARK: Final = (
    f"ALTER TABLE {{db}}.{_ACTIVITY} UPDATE rebuilt_at = {{now:UInt32}} WHERE true SETTINGS mutations_sync = 2"
)
_WITH_MARK: Final = "* REPLACE ({now:UInt32} AS rebuilt_at)"
_LEFT_ALONE: Final = ACCESS_TABLES | RETENTION_TABLES | {"schema_migrations", RECORD}
_TABLES: Final = "SELECT name, toString(uuid) AS uuid FROM system.tables WHERE database = {database:String}"
_STORED: Final = f"{_TABLES} AND engine LIKE '%MergeTree'"
_OF_RUNS: Final = (
    "SELECT table FROM system.columns WHERE database = {database:String} AND name IN ('entity', 'project', 'run_id')"
    " GROUP BY table HAVING count() = 3"
)


def tables_to_exchange(wanted: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Return the tables whose UUID is not the wanted one yet, in order.

    Activity comes after the rows of runs, and the positions of the log last.
    """
    missing = (name for name, identity in wanted.items() if present.get(name) != identity)
    return sorted(missing, key=lambda name: (name == _LAST, name == _ACTIVITY, name))


def run_tables(stored: Collection[str], with_run: Collection[str]) -> list[str]:
    """Return the tables with rows of runs, those that materialized views fill after the ones that they are filled from.

    A copied row of the source is then in the filled table before that one's rows are replaced. Activity comes last.
    """
    fed = {name for names in FED.values() for name in names}
    names = (set(stored) & set(with_run)) - _LEFT_ALONE
    return sorted(names, key=lambda name: (name == _ACTIVITY, name in fed, name))


def exchange_tables(store: Store, rebuilt: Store, record: RebuildRecord) -> None:
    """Exchange all tables of two databases; a call after an interruption exchanges the remaining ones.

    Raises:
        StoreError: if ClickHouse can't be reached or refuses, for example since a database is not Atomic.
    """
    if record.get(SWITCHING) is None:
        rebuilt.command(_MARK, {"now": int(time.time())})
        both = _stored(store).keys() & _stored(rebuilt).keys()
        wanted = {name: identity for name, identity in _stored(rebuilt).items() if name in both - _LEFT_ALONE}
        record.put(SWITCHING, wanted)
    for name in tables_to_exchange(record.get(SWITCHING), _stored(store)):
        store.command(f"EXCHANGE TABLES {{db}}.`{name}` AND `{rebuilt.database}`.`{name}`")


def replace_run(store: Store, rebuilt: Store, run: RunPath) -> None:
    """Replace the rows of one run by the rebuilt ones; may be repeated after an interruption. Raises: StoreError."""
    parameters = {**run._asdict(), "now": int(time.time())}
    with_run = [row["table"] for row in store.query(_OF_RUNS, {"database": store.database}).to_pylist()]
    for name in run_tables(_stored(store).keys() & _stored(rebuilt).keys(), with_run):
        store.command(f"DELETE FROM {{db}}.`{name}` WHERE {RUN_CONDITION}", run._asdict())
        columns = _WITH_MARK if name == _ACTIVITY else "*"
        # A token of its own: ClickHouse would drop a block that it has seen before, although it was deleted since.
        store.command(
            f"INSERT INTO {{db}}.`{name}` SETTINGS insert_deduplication_token = '{uuid.uuid4()}'"
            f" SELECT {columns} FROM `{rebuilt.database}`.`{name}` WHERE {RUN_CONDITION}",
            parameters,
        )


def _stored(store: Store) -> dict[str, str]:
    """Return the UUIDs of a database's tables with rows of their own."""
    rows = store.query(_STORED, {"database": store.database}).to_pylist()
    return {row["name"]: row["uuid"] for row in rows}
