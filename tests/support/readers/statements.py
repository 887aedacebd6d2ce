"""Statements that would run for hours, and how many of them the engine runs."""

from __future__ import annotations

from typing import Final

from stepwell_schemas.clickhouse.store import Store

ENDLESS: Final = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"


def endless_statements(store: Store) -> int:
    """Return the number of running statements over as many numbers as `ENDLESS` has."""
    sql = "SELECT count() AS n FROM system.processes WHERE query LIKE '%numbers(1000000000000)%'"
    own = "AND query NOT LIKE '%system.processes%'"
    return int(store.query(f"{sql} {own}").column("n")[0].as_py())
