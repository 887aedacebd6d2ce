"""Build the rows of the tables of points from columns, without a loop over points."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_ingestor.planner.arrow import MILLISECONDS, PATH_FIELDS, fixed
from stepwell_ingestor.planner.columns import Columns, Int64s
from stepwell_ingestor.planner.flush_series import FlushSeries
from stepwell_ingestor.planner.names import Names
from stepwell_schemas.clickhouse.tables import POINT_TABLES
from stepwell_schemas.rules.identifiers import RunPath

_MICROSECONDS_A_MILLISECOND: Final = 1_000
_LARGE_PART: Final = 1_024


def build_point_tables(series: FlushSeries) -> dict[str, pa.Table]:
    """Build the rows of each table that has any."""
    by_table: dict[str, list[int]] = {}
    for number, part in enumerate(series.parts):
        if len(part.keys) and len(part.steps):
            by_table.setdefault(POINT_TABLES[part.kind], []).append(number)
    return {table: _table(table, series, np.array(parts)) for table, parts in by_table.items()}


def _table(name: str, series: FlushSeries, chosen: Int64s) -> pa.Table:
    parts = [series.parts[number] for number in chosen.tolist()]
    rows, keys_of = series.rows[chosen], series.widths[chosen]
    sizes = rows * keys_of
    columns: dict[str, Any] = _path_columns(parts, sizes)
    of_keys = series.numbers
    if len(parts) < len(series.parts):
        of_keys = of_keys[np.isin(series.part_of, chosen)]
    columns["key"] = series.key_column(of_keys, np.repeat(rows, keys_of))
    if name == "points_media":
        columns["kind"] = _named((part.kind for part in parts), sizes)
    if any(part.writer for part in parts):
        columns["writer"] = _named((part.writer for part in parts), sizes)
    each_key = _each_key(rows, keys_of)
    columns["step"] = fixed(each_key([part.steps for part in parts]), pa.int64())
    milliseconds = np.concatenate([part.timestamps for part in parts]) // _MICROSECONDS_A_MILLISECOND
    ends = np.cumsum(rows)
    of_parts = [milliseconds[start:end] for start, end in zip((ends - rows).tolist(), ends.tolist(), strict=True)]
    columns["timestamp"] = fixed(each_key(of_parts), MILLISECONDS)
    if name == "points_number":
        # The bit-plane codec needs integers; `value` is an alias column over `bits`.
        columns["bits"] = fixed(np.concatenate([part.values for part in parts]), pa.uint64())
    else:
        columns["value"] = _values(name, parts)
    if name == "points_number" and any(part.exact for part in parts):
        columns["exact"] = _exact(parts, sizes.tolist())
    columns["version"] = fixed(each_key([part.versions for part in parts]), pa.uint64())
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def _path_columns(parts: list[Columns], sizes: Int64s) -> dict[str, pa.DictionaryArray]:
    paths: dict[RunPath, int] = {}
    codes = np.repeat(np.array([paths.setdefault(part.path, len(paths)) for part in parts], np.int32), sizes)
    columns = {}
    for field, names in zip(PATH_FIELDS, zip(*paths, strict=True), strict=True):
        dictionary = Names()
        # Most flushes are of one run, or of runs that differ in each name.
        of_paths = dictionary.codes(names)
        columns[field] = dictionary.column(codes if of_paths[-1] == len(paths) - 1 else of_paths[codes])
    return columns


def _named(names: Iterable[str], times: Int64s) -> pa.DictionaryArray:
    """Build a column of names, each repeated the given number of times."""
    dictionary = Names()
    return dictionary.column(np.repeat(dictionary.codes(names), times))


def _each_key(rows: Int64s, keys: Int64s) -> Callable[[list[NDArray[Any]]], NDArray[Any]]:
    """Return a function that repeats the column of each part's rows once for each of its keys.

    Args:
        rows: the number of rows of each part. keys: the number of its keys.
    """
    if len(rows) * _LARGE_PART < int(rows @ keys):
        counts = keys.tolist()
        return lambda columns: np.concatenate(
            [column if count == 1 else np.tile(column, count) for column, count in zip(columns, counts, strict=True)]
        )
    # Copying large parts is faster, but small ones cost less by one index for all of them.
    lengths = np.repeat(rows, keys)
    ends = np.cumsum(lengths)
    places = np.arange(int(ends[-1])) + np.repeat(np.repeat(np.cumsum(rows) - rows, keys) - ends + lengths, lengths)
    return lambda columns: np.concatenate(columns)[places]


def _values(table: str, parts: list[Columns]) -> pa.Array:
    if table == "points_bool":
        return pa.array(np.concatenate([part.values for part in parts]).astype(np.bool_))
    return pa.array([text for part in parts for text in part.values], pa.string())


def _exact(parts: list[Columns], sizes: list[int]) -> pa.Array:
    texts = [""] * sum(sizes)
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        for position, text in part.exact.items():
            texts[start + position] = text
        start += size
    return pa.array(texts, pa.string())
