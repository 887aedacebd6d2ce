"""Conversion of Arrow tables to Python rows, many times faster than pyarrow for some types."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa

Row = dict[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_readers: dict[tuple[str, int], list[Callable[[pa.Array], list[Any]]]] = {}


def python_rows(name: str, table: pa.Table) -> list[Row]:
    """Return the rows of a table, as its `to_pylist` does, with times as datetimes in UTC.

    Tables with the same name and number of columns have the same types.
    """
    readers = _readers.get((name, table.num_columns))
    if readers is None:
        readers = _readers[name, table.num_columns] = [_reader(field.type) for field in table.schema]
    names = table.column_names
    return [
        dict(zip(names, row, strict=True))
        for batch in table.to_batches()
        for row in zip(*(read(column) for read, column in zip(readers, batch.columns, strict=True)), strict=True)
    ]


def newest_totals(totals: Iterable[Row]) -> Row:
    """Return the totals with the greatest end, as ClickHouse merges them."""
    return max(totals, key=lambda row: tuple(row.values()))


def _reader(data_type: pa.DataType) -> Callable[[pa.Array], list[Any]]:
    if pa.types.is_dictionary(data_type):
        return _decoded
    # pyarrow looks up the time zone UTC for each value.
    return _times if pa.types.is_timestamp(data_type) else pa.Array.to_pylist


def _decoded(column: pa.Array) -> list[Any]:
    names = column.dictionary.to_pylist()
    return [names[code] for code in column.indices.to_pylist()]


def _times(column: pa.Array) -> list[Any]:
    return [None if at is None else _datetime(at) for at in column.view(pa.int64()).to_pylist()]


@lru_cache(65_536)
def _datetime(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)
