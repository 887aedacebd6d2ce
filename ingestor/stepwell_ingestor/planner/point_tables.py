"""Build the rows of the tables of points from columns, without a loop over points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_ingestor.planner.arrow import MILLISECONDS, PATH_FIELDS, fixed
from stepwell_schemas.clickhouse.tables import POINT_TABLES
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

Int64s = NDArray[np.int64]

_MICROSECONDS_A_MILLISECOND: Final = 1_000


class Columns(NamedTuple):
    """Values of k keys of one kind that the same n rows of a writer logged.

    `steps`, `timestamps` (µs) and `versions` (ascending) have n entries; `values` has k × n, one key after the other:
    float64 for numbers, uint8 for bools, str otherwise. `exact` maps positions in `values` to exact integers.
    """

    path: RunPath
    writer: str
    kind: Kind
    keys: list[str]
    steps: Int64s
    timestamps: Int64s
    versions: NDArray[np.uint64]
    values: Any
    exact: dict[int, str]


class Names:
    """The dictionary of an Arrow dictionary column: each name once, with a code."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def codes(self, names: Iterable[str]) -> NDArray[np.int32]:
        """Return the codes of names, adding new ones."""
        known = self._codes
        return np.array([known.setdefault(name, len(known)) for name in names], np.int32)

    def column(self, codes: NDArray[np.int32]) -> pa.DictionaryArray:
        """Build the column with these codes."""
        return pa.DictionaryArray.from_arrays(fixed(codes, pa.int32()), pa.array(list(self._codes), pa.string()))


def build_point_tables(columns: list[Columns]) -> dict[str, pa.Table]:
    """Build the rows of each table that has any."""
    by_table: dict[str, list[Columns]] = {}
    for part in columns:
        if len(part.keys) and len(part.steps):
            by_table.setdefault(POINT_TABLES[part.kind], []).append(part)
    return {table: _table(table, parts) for table, parts in by_table.items()}


def _table(name: str, parts: list[Columns]) -> pa.Table:
    rows = np.array([len(part.steps) for part in parts])
    keys_of = np.array([len(part.keys) for part in parts])
    sizes = rows * keys_of
    columns: dict[str, Any] = _path_columns(parts, sizes)
    columns["key"] = _named((key for part in parts for key in part.keys), np.repeat(rows, keys_of))
    if name == "points_media":
        columns["kind"] = _named((part.kind for part in parts), sizes)
    if any(part.writer for part in parts):
        columns["writer"] = _named((part.writer for part in parts), sizes)
    columns["step"] = fixed(_each_key([part.steps for part in parts], parts), pa.int64())
    milliseconds = [part.timestamps // _MICROSECONDS_A_MILLISECOND for part in parts]
    columns["timestamp"] = fixed(_each_key(milliseconds, parts), MILLISECONDS)
    if name == "points_number":
        # The bit-plane codec needs integers; `value` is an alias column over `bits`.
        columns["bits"] = fixed(np.concatenate([part.values for part in parts]), pa.uint64())
    else:
        columns["value"] = _values(name, parts)
    if name == "points_number" and any(part.exact for part in parts):
        columns["exact"] = _exact(parts, sizes.tolist())
    columns["version"] = fixed(_each_key([part.versions for part in parts], parts), pa.uint64())
    return pa.Table.from_arrays(list(columns.values()), list(columns))


def _path_columns(parts: list[Columns], sizes: NDArray[np.int64]) -> dict[str, pa.DictionaryArray]:
    paths: dict[RunPath, int] = {}
    codes = np.repeat(np.array([paths.setdefault(part.path, len(paths)) for part in parts], np.int32), sizes)
    columns = {}
    for field, names in zip(PATH_FIELDS, zip(*paths, strict=True), strict=True):
        dictionary = Names()
        # Most flushes are of one run, or of runs that differ in each name.
        of_paths = dictionary.codes(names)
        columns[field] = dictionary.column(codes if of_paths[-1] == len(paths) - 1 else of_paths[codes])
    return columns


def _named(names: Iterable[str], times: NDArray[np.int64]) -> pa.DictionaryArray:
    """Build a column of names, each repeated the given number of times."""
    dictionary = Names()
    return dictionary.column(np.repeat(dictionary.codes(names), times))


def _each_key(columns: list[NDArray[Any]], parts: list[Columns]) -> NDArray[Any]:
    """Repeat the columns of each part's rows once for each of its keys."""
    return np.concatenate(
        [
            column if len(part.keys) == 1 else np.tile(column, len(part.keys))
            for column, part in zip(columns, parts, strict=True)
        ]
    )


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
