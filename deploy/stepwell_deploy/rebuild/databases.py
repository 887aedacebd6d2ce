"""The databases of a rebuild: that of the present tables, and its own, which a later call continues or drops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stepwell_deploy.errors import RebuildError
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset
from stepwell_ingestor.rebuild.ranges import ReplayRange, plan_end
from stepwell_ingestor.rebuild.record import RebuildRecord
from stepwell_ingestor.rebuild.unfinished_switch import SWITCHED, SWITCHING
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.migrations.runner import migrate

SCOPE: Final = "scope"
"""Name of the record of what the rebuilt tables depend on."""


class Databases(NamedTuple):
    """The present tables, the rebuilt ones, and the record in the database of the latter."""

    present: Store
    rebuilt: Store
    record: RebuildRecord


def continues_switch(databases: Databases) -> bool:
    """Return True if a switch was interrupted. Raises: RebuildError if the last one was completed, and kept tables."""
    if not exists(databases.present, databases.rebuilt.database):
        return False
    databases.record.open()
    if databases.record.get(SWITCHED) is not None:
        raise RebuildError(
            f"the database {databases.rebuilt.database} has the tables from before the last rebuild; drop them with "
            "`stepwell rebuild --discard`"
        )
    return databases.record.get(SWITCHING) is not None


def prepare(
    scope: Mapping[str, Any], databases: Databases, ranges: tuple[ReplayRange, ...], say: Callable[[str], None]
) -> None:
    """Create the database for the rebuilt tables, or continue with the one of an earlier call for the same scope."""
    if exists(databases.present, databases.rebuilt.database):
        if databases.record.get(SCOPE) == scope and _fits(databases.record, ranges):
            say("continuing an earlier rebuild")
            return
        say("dropping an earlier rebuild of something else")
        drop(databases.rebuilt)
    migrate(databases.rebuilt)
    databases.record.open()
    databases.record.put(SCOPE, scope)


def _fits(record: RebuildRecord, ranges: tuple[ReplayRange, ...]) -> bool:
    """Return True if the log still has everything that an earlier rebuild lacks, and nothing less than it has."""
    return all(_fits_partition(record.committed(part.partition), part) for part in ranges)


def _fits_partition(commit: CommittedOffset | None, part: ReplayRange) -> bool:
    if commit is None:
        return True
    reached = commit.offset or 0
    return part.removed <= reached and max(reached, plan_end(commit.plan) if commit.plan else 0) <= part.last


def exists(present: Store, database: str, table: str = "") -> bool:
    """Return True if there is a database, or a table in it. Creates the present one, since queries need a database."""
    present.command("CREATE DATABASE IF NOT EXISTS {db}")
    sql = (
        "SELECT count() AS n FROM system.tables WHERE database = {database:String} AND name = {table:String}"
        if table
        else "SELECT count() AS n FROM system.databases WHERE name = {database:String}"
    )
    return bool(present.query(sql, {"database": database, "table": table}).column("n")[0].as_py())


def drop(store: Store) -> None:
    """Drop a store's database."""
    store.command("DROP DATABASE IF EXISTS {db} SYNC")
