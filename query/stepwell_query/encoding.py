"""Encoding of answers: JSON, NDJSON, CSV, Arrow and Parquet.

JSON has neither NaN nor infinities. They are written as the strings "NaN", "Infinity" and "-Infinity" or, on request,
as the bare words NaN, Infinity and -Infinity, which many JSON parsers read as floats; these distinguish a number from a
string "NaN". Integers that float64 can't represent, and JSON that users logged, are written as the stored text.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from stepwell_schemas.rules.json_values import float_json

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
INTEGER: Final = re.compile("-?(?:0|[1-9][0-9]*)")
"""Pattern of an integer in JSON."""

_NDJSON_ROWS: Final = 10_000


class Format(StrEnum):
    """Formats of answers."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


class NotFinite(StrEnum):
    """Forms of NaN and ±Inf in JSON: strings (`text`) or bare words (`literal`)."""

    TEXT = "text"
    LITERAL = "literal"


MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.NDJSON: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.ARROW: "application/vnd.apache.arrow.stream",
    Format.PARQUET: "application/vnd.apache.parquet",
}


def json_bytes(value: Any) -> bytes:
    """Encode a value as JSON; its floats must be finite or converted by `json_floats`."""
    return orjson.dumps(value, option=_OPTIONS)


def json_floats(values: NDArray[np.float64], non_finite: NotFinite = NotFinite.TEXT) -> NDArray[np.float64] | list[Any]:
    """Prepare float64[n] for `json_bytes`: unchanged if all are finite, otherwise a list without NaN and infinities."""
    indexes = np.flatnonzero(~np.isfinite(values))
    if not indexes.size:
        return np.ascontiguousarray(values)
    named: list[Any] = values.tolist()
    for index in indexes.tolist():
        named[index] = json_float(float(values[index]), non_finite)
    return named


def json_float(value: float, non_finite: NotFinite = NotFinite.TEXT) -> Any:
    """Prepare a float for `json_bytes`."""
    if math.isfinite(value):
        return value
    name = float_json(value)
    return name if non_finite is NotFinite.TEXT else orjson.Fragment(str(name))


def is_integer(text: str) -> bool:
    """Return True if a text is an integer in JSON."""
    return INTEGER.fullmatch(text) is not None


def exact_integer(text: str) -> orjson.Fragment:
    """Wrap the decimal text of an integer so that it is written as a JSON number with all digits."""
    return orjson.Fragment(text)


def table_bytes(table: pa.Table, fmt: Format) -> bytes:
    """Encode a table; JSON is an array of rows."""
    match fmt:
        case Format.JSON:
            return json_bytes(json_rows(table))
        case Format.NDJSON:
            return b"".join(ndjson(table))
        case Format.CSV:
            return csv_bytes(table, header=True)
    sink = io.BytesIO()
    if fmt is Format.PARQUET:
        pyarrow.parquet.write_table(_parquet_table(table), sink, compression="zstd")
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def ndjson(table: pa.Table) -> Iterator[bytes]:
    """Yield a table as lines of JSON, some thousand rows at a time."""
    for start in range(0, table.num_rows, _NDJSON_ROWS):
        yield json_lines(json_rows(table.slice(start, _NDJSON_ROWS)))


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as lines of JSON."""
    return b"".join([orjson.dumps(row, option=_OPTIONS | orjson.OPT_APPEND_NEWLINE) for row in rows])


def csv_bytes(table: pa.Table, *, header: bool) -> bytes:
    """Encode a table as CSV; NaN is `nan`, a missing value is empty, nested values are JSON, bytes are UTF-8."""
    columns = [_csv_column(column) for column in table.columns]
    sink = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=header)
    pyarrow.csv.write_csv(pa.table(columns, names=_unique(table.column_names)), sink, options)
    return sink.getvalue()


def json_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of a table, prepared for `json_bytes`."""
    names = _unique(table.column_names)
    return [dict(zip(names, row, strict=True)) for row in zip(*json_columns(table), strict=True)]


def json_columns(table: pa.Table) -> list[list[Any]]:
    """Return the columns of a table, prepared for `json_bytes`."""
    return [_json_column(column) for column in table.columns]


def _json_column(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_integer(column.type) or pa.types.is_string(column.type):
        values: list[Any] = column.to_pylist()
        return values
    if pa.types.is_float64(column.type) and not column.null_count:
        return list(json_floats(column.to_numpy()))
    return [_json_value(value) for value in column.to_pylist()]


def _json_value(value: Any) -> Any:
    """Prepare any value of an Arrow table for `json_bytes`."""
    match value:
        case float():
            return json_float(value)
        case bytes():
            return value.decode("utf-8", "replace")
        case dict():
            return {key: _json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [_json_value(item) for item in value]
        case int() if not isinstance(value, bool) and not -(2**63) <= value < 2**64:
            return exact_integer(str(value))
        case None | bool() | int() | str():
            return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _csv_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_nested(kind):
        return pa.chunked_array(
            [[json_bytes(_json_value(value)).decode() for value in column.to_pylist()]], pa.string()
        )
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        # UUIDs, JSON, integers of 128 bits and more, states of aggregate functions: Arrow writes none of them as CSV.
        return _text_column(column, str)
    return column


def _text_column(column: pa.ChunkedArray, to_text: Callable[[Any], str]) -> pa.ChunkedArray:
    """Return the values of a column as texts, made of what `_json_value` gives; missing values stay missing."""
    values = (_json_value(value) for value in column.to_pylist())
    return pa.chunked_array([[None if value is None else to_text(value) for value in values]], pa.string())


def _parquet_table(table: pa.Table) -> pa.Table:
    """Return a table in which columns of types that Parquet lacks (unions, empty structs) are JSON texts."""
    if _is_parquet(table.schema):
        return table
    for index, field in enumerate(table.schema):
        if not _is_parquet(pa.schema([field])):
            texts = _text_column(table.column(index), lambda value: json_bytes(value).decode())
            table = table.set_column(index, field.name, texts)
    return table


def _is_parquet(schema: pa.Schema) -> bool:
    try:
        pyarrow.parquet.ParquetWriter(io.BytesIO(), schema).close()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _unique(names: list[str]) -> list[str]:
    """Return column names with repeated ones numbered (`a`, `a_2`); JSON rows need distinct names."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique
