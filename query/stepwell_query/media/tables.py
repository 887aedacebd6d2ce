"""Sorted and filtered pages of a logged table, read from its Parquet file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stepwell_query.encoding import json_columns
from stepwell_query.errors import RequestError
from stepwell_query.stored_json import json_object, json_value
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.valid_text import valid_text

TABLE_MAX_BYTES: Final = 64 * MIB
"""Maximum size of a file that is served in pages; larger files can be downloaded."""

TABLE_MAX_CELLS: Final = 20_000_000
"""Maximum cells of such a file: a small file may encode many equal cells, which take about 50 bytes each in memory."""

CONTENT_TYPE: Final = "application/vnd.apache.parquet"
_METADATA_KEY: Final = b"stepwell"
_TEXTS: Final = frozenset({"media", "json"})


@dataclass(frozen=True, slots=True)
class TableRequest:
    """Rows `offset` to `offset + limit` of those that contain `search`, ignoring case, sorted by a column."""

    offset: int = 0
    limit: int = 50
    sort: str | None = None
    descending: bool = False
    search: str = ""
    column: str | None = None


def read_table(content: bytes) -> pa.Table:
    """Read the Parquet file of a table. Raises: RequestError when it is not a table."""
    try:
        metadata = pq.read_metadata(pa.BufferReader(content))
        if metadata.num_rows * metadata.num_columns > TABLE_MAX_CELLS:
            rule = f"has more than {TABLE_MAX_CELLS:,} cells"
            raise RequestError("sha256", None, rule, "download the file, which is Parquet")
        return valid_text(pq.read_table(pa.BufferReader(content)))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise RequestError("sha256", None, "is not a readable table", "send the SHA-256 of a table") from error


def table_page(table: pa.Table, request: TableRequest) -> dict[str, Any]:
    """Return the document of a page: columns, rows as lists of cells, and the numbers of matching and of all rows.

    Cells with media are references with their `kind`; a list of media has them as `items`.

    Raises:
        RequestError: when a requested column does not exist.
    """
    for field, name in (("sort", request.sort), ("column", request.column)):
        if name is not None and name not in table.column_names:
            known = ", ".join(table.column_names[:20])
            raise RequestError(field, name, "is not a column of the table", f"send one of {known}")
    marks = _marks(table)
    matching = _sorted(_filtered(table, request), request)
    part = matching.slice(request.offset, request.limit)
    columns = [
        [None if text is None else json_value(text) for text in part.column(name).to_pylist()]
        if marks.get(name) in _TEXTS and pa.types.is_string(part.column(name).type)
        else cells
        for name, cells in zip(part.column_names, json_columns(part), strict=True)
    ]
    return {
        "columns": [{"name": field.name, "type": marks.get(field.name) or str(field.type)} for field in table.schema],
        "rows": [list(row) for row in zip(*columns, strict=True)],
        "offset": request.offset,
        "found": matching.num_rows,
        "total": table.num_rows,
    }


def _marks(table: pa.Table) -> dict[str, str]:
    stored = (table.schema.metadata or {}).get(_METADATA_KEY)
    marks = json_object(stored.decode("utf-8", "replace")).get("columns") if stored else None
    return {name: mark for name, mark in marks.items() if isinstance(mark, str)} if isinstance(marks, dict) else {}


def _filtered(table: pa.Table, request: TableRequest) -> pa.Table:
    if not request.search:
        return table
    names = [request.column] if request.column is not None else table.column_names
    kept: Any = None
    for name in names:
        matches = pc.fill_null(
            pc.match_substring(_as_text(table.column(name)), request.search, ignore_case=True), False
        )
        kept = matches if kept is None else pc.or_(kept, matches)
    return table if kept is None else table.filter(kept)


def _sorted(table: pa.Table, request: TableRequest) -> pa.Table:
    if request.sort is None:
        return table
    column = table.column(request.sort)
    if pa.types.is_nested(column.type) or pa.types.is_null(column.type):
        column = _as_text(column)
    # Stable sort: equal rows are ordered by their row number.
    keys = pa.table({"value": column, "row": pa.array(range(table.num_rows), pa.int64())})
    direction = "descending" if request.descending else "ascending"
    return table.take(pc.sort_indices(keys, sort_keys=[("value", direction), ("row", "ascending")]))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type) or pa.types.is_null(column.type):
        return pa.chunked_array([[None if cell is None else str(cell) for cell in column.to_pylist()]], pa.string())
    return column.cast(pa.string())
