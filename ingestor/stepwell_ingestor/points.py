"""Points in columns: what a flush puts into the tables of points, built without a loop over points."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.kinds import MEDIA_KINDS, Kind

Int64s = NDArray[np.int64]

TABLES: Final = {
    Kind.NUMBER: "points_number",
    Kind.STRING: "points_string",
    Kind.BOOL: "points_bool",
    Kind.OTHER: "points_other",
    **dict.fromkeys(MEDIA_KINDS, "points_media"),
}
_MICROSECONDS_A_MILLISECOND: Final = 1_000


class Columns(NamedTuple):
    """Values of k keys of one kind that the same n rows of a run logged.

    `steps`, `timestamps` (µs) and `versions` have n entries, ascending; `values` has k × n, one key after the other:
    float64 for numbers, uint8 for bools, str otherwise. `exact` maps positions in `values` to exact integers.
    """

    path: RunPath
    kind: Kind
    keys: list[str]
    steps: Int64s
    timestamps: Int64s
    versions: NDArray[np.uint64]
    values: Any
    exact: dict[int, str]


class Names:
    """A dictionary of names for an Arrow dictionary column: each name once, a code for each use."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        """Return the code of a name."""
        return self._codes.setdefault(name, len(self._codes))

    def column(self, codes: NDArray[np.int32]) -> pa.DictionaryArray:
        """Return the column whose entries have these codes."""
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(self._codes), pa.string()))


def tables_of(columns: list[Columns]) -> dict[str, pa.Table]:
    """Return the rows of each table that has any."""
    by_table: dict[str, list[Columns]] = {}
    for part in columns:
        if len(part.keys) and len(part.steps):
            by_table.setdefault(TABLES[part.kind], []).append(part)
    return {table: _table(table, parts) for table, parts in by_table.items()}


def _table(name: str, parts: list[Columns]) -> pa.Table:
    sizes = [len(part.keys) * len(part.steps) for part in parts]
    columns: dict[str, Any] = {}
    for field in ("entity", "project", "run_id"):
        names = Names()
        codes = np.array([names.code(getattr(part.path, field)) for part in parts], np.int32)
        columns[field] = names.column(np.repeat(codes, sizes))
    keys = Names()
    columns["key"] = keys.column(
        np.concatenate([np.repeat(np.array([keys.code(key) for key in p.keys], np.int32), len(p.steps)) for p in parts])
    )
    if name == "points_media":
        kinds = Names()
        codes = np.array([kinds.code(part.kind) for part in parts], np.int32)
        columns["kind"] = kinds.column(np.repeat(codes, sizes))
    columns["step"] = np.concatenate([np.tile(part.steps, len(part.keys)) for part in parts])
    milliseconds = [np.tile(part.timestamps // _MICROSECONDS_A_MILLISECOND, len(part.keys)) for part in parts]
    columns["timestamp"] = pa.array(np.concatenate(milliseconds)).cast(pa.timestamp("ms", "UTC"))
    columns["value"] = _values(name, parts)
    if name == "points_number" and any(part.exact for part in parts):
        columns["exact"] = _exact(parts, sizes)
    columns["version"] = np.concatenate([np.tile(part.versions, len(part.keys)) for part in parts])
    return pa.table(columns)


def _values(table: str, parts: list[Columns]) -> Any:
    if table == "points_number":
        return np.concatenate([part.values for part in parts])
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
