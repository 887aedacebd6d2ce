"""Find the rows that ClickHouse refuses, by bisection, and store the others.

An error that is not about the rows (a missing table, missing rights) is raised. So is an error of unknown class if
ClickHouse accepts no event at all: then the table is the cause and not the events. See docs/decisions/0008.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final

import pyarrow as pa

from stepwell_ingestor.planner.accumulator import LeftOut
from stepwell_schemas.clickhouse.errors import error_class
from stepwell_schemas.clickhouse.tables import POINT_TABLES
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath

Insert = Callable[[pa.Table], Awaitable[None]]
"""Inserts rows into their table. Duplicate rows are harmless because of their versions."""

DOCUMENTS: Final = "run_documents"
DIVISIBLE: Final = frozenset({*POINT_TABLES.values(), DOCUMENTS})
"""Tables whose rows hold producers' values; rows of other tables consist of validated numbers and names."""

_FRUITLESS_TRIES: Final = 16
_REASON_CHARS: Final = 500


def is_divisible(table: str, error: StoreRejectedError) -> bool:
    """Return True if an insert may have been refused because of single rows."""
    return table in DIVISIBLE and error_class(error.code) in _DIVIDED


async def insert_divided(insert: Insert, table: str, rows: pa.Table, error: StoreRejectedError) -> LeftOut:
    """Insert the acceptable part of rows that ClickHouse refused with `error`; return the rest.

    Raises:
        StoreRejectedError: if it refuses them for a reason other than their data.
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
        """Bisect refused rows by owner; rows of a single owner are recorded as refused."""
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
    """Return, for each row, the unit that is left out if it is refused: its event's offset, or its run."""
    if table == DOCUMENTS:
        return [RunPath(row["entity"], row["project"], row["run_id"]) for row in rows.to_pylist()]
    return [version >> VERSION_ROW_BITS for version in rows.column("version").to_pylist()]


def _left_out(table: str, found: dict[Hashable, str]) -> LeftOut:
    if table == DOCUMENTS:
        return LeftOut(documents={owner: why for owner, why in found.items() if isinstance(owner, RunPath)})
    return LeftOut(values={(table, owner): why for owner, why in found.items() if isinstance(owner, int)})
