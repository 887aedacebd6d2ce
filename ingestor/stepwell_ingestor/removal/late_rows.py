"""Rows of deleted runs that were inserted after the deletion, by an ingestor that was frozen in the middle of a flush.

A flush of a deletion deletes what is there. An ingestor that has lost its partition may still complete an insert that
it had begun, if ClickHouse does not know its token any more. So the rows are looked for again for some time. Those that
a merge has joined with rows of the run that has the name now can't be deleted; the run has to be rebuilt.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from typing import Final, NamedTuple

from stepwell_ingestor.planner.run_state import DELETED_AT, DELETED_OFFSET, DELETION_SCOPE
from stepwell_schemas.clickhouse.run_rows import delete_rows, find_mixed_runs
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

SWEPT_SECONDS: Final = 86_400
"""Seconds for which the rows of a deleted run are looked for: an ingestor that was frozen for longer is restarted."""

_MICROSECONDS: Final = 1_000_000
_DELETIONS: Final = f"""
SELECT entity, project, run_id, anyIf(number, name = '{DELETED_OFFSET}') AS offset
FROM {{db}}.run_states FINAL WHERE scope = '{DELETION_SCOPE}' AND number >= 0
GROUP BY entity, project, run_id HAVING anyIf(number, name = '{DELETED_AT}') >= {{since:Int64}}
"""


class Sweep(NamedTuple):
    """The number of statements that deleted late rows, and the runs with which such rows were merged."""

    statements: int
    mixed: list[RunPath]


def read_deletions(store: Store, since: float) -> dict[RunPath, int]:
    """Return the logical offsets of the deletions since a time in seconds since the epoch. Raises: StoreError."""
    rows = store.query(_DELETIONS, {"since": int(since * _MICROSECONDS)}).to_pylist()
    return {RunPath(row["entity"], row["project"], row["run_id"]): row["offset"] for row in rows}


def sweep(store: Store, now: float) -> Sweep:
    """Delete late rows of recently deleted runs. Raises: StoreError."""
    deletions = read_deletions(store, now - SWEPT_SECONDS)
    if not deletions:
        return Sweep(0, [])
    return Sweep(delete_rows(store, deletions), find_mixed_runs(store, deletions))
