"""Finds what ClickHouse refuses of a table's rows, by inserting halves, so that the other rows are stored.

A refusal that is no matter of the rows (a missing table, no rights) passes through. So does one of an unknown class
where ClickHouse takes no event at all: then the table is at fault and not the events. See docs/decisions/0008.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final

import pyarrow as pa

from stepwell_ingestor.planner.plan import LeftOut
from stepwell_ingestor.planner.point_tables import TABLES
from stepwell_schemas.clickhouse.errors import error_class
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath

Insert = Callable[[pa.Table], Awaitable[None]]
"""Inserts rows into their table. Rows may come twice: their versions make that harmless."""

DOCUMENTS: Final = "run_documents"
DIVISIBLE: Final = frozenset({*TABLES.values(), DOCUMENTS})
"""The tables that hold what producers send; the rows of all others are made of checked numbers and names."""

_FRUITLESS_TRIES: Final = 16
_REASON_CHARS: Final = 500


def is_divisible(table: str, error: StoreRejectedError) -> bool:
    """Tell if a refused insert may be refused for single rows of the table."""
    return table in DIVISIBLE and error_class(error.code) in _DIVIDED


async def insert_divided(insert: Insert, table: str, rows: pa.Table, error: StoreRejectedError) -> LeftOut:
    """Insert what ClickHouse takes of rows that it refused with `error`; return what it does not take.

    Raises:
        StoreRejectedError: when it refuses them for another reason than their data.
    """
    owners = _owners(table, rows)
    division = _Division(insert, rows, owners)
    await division.refused(list(dict.fromkeys(owners)), error)
    return _left_out(table, division.found)


_DIVIDED: Final = ("data", "unknown")


class _Division:
    def __init__(self, insert: Insert, rows: pa.Table, owners: list[Hashable]) -> None:
        self.found: dict[Hashable, str] = {}
        self._insert = insert
        self._rows = rows
        self._owners = owners
        self._taken = 0

    async def refused(self, names: Sequence[Hashable], error: StoreRejectedError) -> None:
        """Divide rows that were refused; with one owner, they are what is refused."""
        kind = error_class(error.code)
        if kind not in _DIVIDED:
            raise error
        if len(names) == 1:
            self.found[names[0]] = f"ClickHouse refused it: code {error.code}: {str(error)[:_REASON_CHARS]}"
            every = len(set(self._owners))
            if kind == "unknown" and not self._taken and every > 1 and len(self.found) >= min(_FRUITLESS_TRIES, every):
                raise error
            return
        half = len(names) // 2
        for part in (names[:half], names[half:]):
            among = frozenset(part)
            rows = self._rows.filter(pa.array([owner in among for owner in self._owners]))
            try:
                await self._insert(rows)
                self._taken += 1
            except StoreRejectedError as refusal:
                await self.refused(part, refusal)


def _owners(table: str, rows: pa.Table) -> list[Hashable]:
    """Return for each row what is left out when it is refused: its event's offset, or its run."""
    if table == DOCUMENTS:
        return [RunPath(row["entity"], row["project"], row["run_id"]) for row in rows.to_pylist()]
    return [version >> VERSION_ROW_BITS for version in rows.column("version").to_pylist()]


def _left_out(table: str, found: dict[Hashable, str]) -> LeftOut:
    if table == DOCUMENTS:
        return LeftOut(documents={owner: why for owner, why in found.items() if isinstance(owner, RunPath)})
    return LeftOut(values={(table, owner): why for owner, why in found.items() if isinstance(owner, int)})
