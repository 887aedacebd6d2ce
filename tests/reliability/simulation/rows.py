"""Rows of the simulated tables: conversion of Arrow tables, many times faster than pyarrow's, and what rows tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, cast

import pyarrow as pa

from stepwell_ingestor.planner.run_state import DELETED_OFFSET, DELETION_SCOPE
from stepwell_schemas.limits import VERSION_ROW_BITS

Row = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Layout = tuple[list[str], list[Callable[[pa.Array], list[Any]]]]
_layouts: dict[tuple[str, ...], _Layout] = {}


def python_rows(name: str, table: pa.Table) -> list[Row]:
    """Return the rows of a table as readers see them: `value` instead of `bits`, and times as datetimes in UTC.

    Tables with the same name and columns have the same types.
    """
    if not isinstance(table, pa.Table):
        return cast("list[Row]", table.to_pylist())
    columns = (name, *table.column_names)
    layout = _layouts.get(columns)
    if layout is None:
        layout = _layouts[columns] = _layout(table.schema)
    names, readers = layout
    return [
        dict(zip(names, row, strict=False))
        for batch in table.to_batches()
        for row in zip(*(read(column) for read, column in zip(readers, batch.columns, strict=True)), strict=True)
    ]


def newest_totals(totals: Iterable[Row]) -> Row:
    """Return the totals with the greatest end, as ClickHouse merges them."""
    return max(totals, key=lambda row: tuple(row.values()))


def run_of(row: Row) -> tuple[str, str, str]:
    """Return the path of a row's run."""
    return row["entity"], row["project"], row["run_id"]


def deletions(states: Iterable[Row]) -> dict[tuple[str, str, str], int]:
    """Return the logical offset of each run's last deletion, from rows of the table of states."""
    newest: dict[tuple[str, str, str], Row] = {}
    for row in states:
        if (row["scope"], row["name"]) == (DELETION_SCOPE, DELETED_OFFSET):
            known = newest.get(run_of(row))
            if known is None or row["offset"] >= known["offset"]:
                newest[run_of(row)] = row
    return {path: row["number"] for path, row in newest.items()}


def row_offset(row: Row, table: str = "") -> int:
    """Return the offset of the newest part of a row."""
    if table == "rollups":
        return int(row["version"]) - 1
    if "last_offset" in row:
        return int(row["last_offset"])
    if "offset" in row:
        return int(row["offset"]) - 1
    return int(row["version" if "version" in row else "first_version"]) >> VERSION_ROW_BITS


def _layout(schema: pa.Schema) -> _Layout:
    names = ["value" if field.name == "bits" else field.name for field in schema]
    return names, [_floats if field.name == "bits" else _reader(field.type) for field in schema]


def _reader(data_type: pa.DataType) -> Callable[[pa.Array], list[Any]]:
    if pa.types.is_dictionary(data_type):
        return _decoded
    # pyarrow looks up the time zone UTC for each value.
    return _times if pa.types.is_timestamp(data_type) else pa.Array.to_pylist


def _floats(column: pa.Array) -> list[Any]:
    return cast("list[Any]", column.view(pa.float64()).to_pylist())


def _decoded(column: pa.Array) -> list[Any]:
    names = column.dictionary.to_pylist()
    return [names[code] for code in column.indices.to_pylist()]


def _times(column: pa.Array) -> list[Any]:
    return [utc(at) for at in column.view(pa.int64()).to_pylist()]


def utc(milliseconds: int | None) -> datetime | None:
    """Return a time in milliseconds since the epoch as a datetime in UTC."""
    return None if milliseconds is None else _utc(milliseconds)


@lru_cache(65_536)
def _utc(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
