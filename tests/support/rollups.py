"""Rollups filled as a flush of the ingestor would: every closed bucket that the flush touched or closed."""

from __future__ import annotations

from stepwell_query.catalog import OF_RUN
from stepwell_schemas.clickhouse import Store
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.rollups import LEVEL_BITS, LEVELS, closed, rollup_statement


def fill_rollups(store: Store, run: RunPath, key: str, before: int, first: int, last: int) -> None:
    """Compute the closed buckets of a series that had reached step `before` (-1: none) and got `first`..`last`."""
    reached = max(before, last)
    for level in LEVELS:
        start = min(closed(level, max(before, 0)), first >> level)
        end = closed(level, reached)
        if start >= end:
            return
        # The lowest level is computed from points, the others from the level below.
        place, bits = ("step", level) if level == LEVELS[0] else ("bucket", LEVEL_BITS)
        chosen = f"{OF_RUN} AND key = {{key:String}} AND {place} >= {{low:Int64}} AND {place} < {{high:Int64}}"
        bounds = {"key": key, "low": start << bits, "high": end << bits}
        store.command(rollup_statement(level, chosen), run._asdict() | bounds)
