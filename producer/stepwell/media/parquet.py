"""Parquet encoding of a table's columns; reading returns the same cells with the same types.

| cells of a column | stored as | read back as |
|---|---|---|
| bool; int; float, or both; str; bytes | their Arrow type; None as null | the same |
| datetime, date, time, timedelta | their Arrow type in microseconds; zoned times in UTC | the same |
| numpy.datetime64, pandas times finer than microseconds | timestamps | numpy.datetime64 if finer than microseconds |
| lists of bools, of ints, of floats or of texts | Arrow lists | lists |
| arrays of one dimension and one number type | Arrow lists; marked `array` | numpy arrays |
| media, lists of media | their references as JSON texts; marked `media` | results of `read`'s callback `media` |
| all others: mixed types, dicts, integers over 64 bits | JSON (`rules.json_values`); marked `json` | the same |

The marks are JSON in the schema's metadata: `{"columns": {"a name": "media"}}` under the key `stepwell`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import numpy as np

from stepwell.errors import UnstorableError
from stepwell.media.base import Keep, Media
from stepwell.media.references import media_cell
from stepwell.values.arrays import dtype_kind, is_array, restore_value
from stepwell.values.convert import Array, to_json_value
from stepwell_schemas.limits import FLOAT64_EXACT_INT
from stepwell_schemas.rules.json_values import TYPE

CONTENT_TYPE: Final = "application/vnd.apache.parquet"
METADATA_KEY: Final = b"stepwell"
MEDIA: Final = "media"
_ARRAY, _JSON = "array", "json"
_WIDEST_BYTES: Final = 8

EncodedColumn = tuple[Any, str]
"""A column as an Arrow array, and its mark, "" for none."""


def pyarrow() -> ModuleType:
    """Return pyarrow. Raises: UnstorableError naming the package to install."""
    try:
        return import_module("pyarrow")
    except ImportError:
        raise UnstorableError("tables need pyarrow: pip install 'stepwell[media]'") from None


def write(names: Sequence[str], columns: Sequence[Sequence[Any]], keep: Keep) -> bytes:
    """Return columns as a Parquet file; files of media in them are stored with `keep`.

    Raises:
        UnstorableError: for a cell that can't be stored, naming column and row. NoRoomError: see `Keep`.
    """
    pa = pyarrow()
    from pyarrow import parquet

    marks: dict[str, str] = {}
    arrays = []
    for name, cells in zip(names, columns, strict=True):
        array, mark = _encode_column(pa, name, cells, keep)
        arrays.append(array)
        if mark:
            marks[name] = mark
    schema = pa.schema([pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)])
    schema = schema.with_metadata({METADATA_KEY: json.dumps({"columns": marks}, ensure_ascii=False).encode()})
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def read(data: bytes, media: Callable[[Mapping[str, Any]], Any]) -> tuple[list[str], list[list[Any]]]:
    """Return the names and columns of a Parquet file written by `write` (of any other file: the plain cells).

    Args:
        media: returns the cell for a media reference, which includes its `kind`.

    Raises:
        UnstorableError: if pyarrow is missing. pyarrow.ArrowException: if the bytes are no Parquet file.
    """
    pa = pyarrow()
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(data))
    marks = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b'{"columns": {}}'))["columns"]
    columns = [
        _decode_column(pa, column, marks.get(name, ""), media)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return table.column_names, columns


def is_media_cell(value: Any) -> bool:
    """Return whether a cell is media or a list of media."""
    return isinstance(value, Media) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Media))


def _encode_column(pa: ModuleType, name: str, cells: Sequence[Any], keep: Keep) -> EncodedColumn:
    present = [cell for cell in cells if cell is not None]
    if present and all(map(is_media_cell, present)):
        return _texts(pa, name, cells, keep), MEDIA
    if present and all(isinstance(cell, np.ndarray) for cell in present):
        dtype = present[0].dtype
        plain = dtype.kind in "biuf" and dtype.itemsize <= _WIDEST_BYTES and dtype.isnative
        if plain and all(cell.ndim == 1 and cell.dtype == dtype for cell in present):
            return pa.array(cells, pa.list_(pa.from_numpy_dtype(dtype))), _ARRAY
    kind = _arrow_type(pa, present)
    if kind is not None:
        try:
            return pa.array(cells, kind, from_pandas=False), ""
        except UnicodeEncodeError:
            raise UnstorableError(f"column {name!r}: must be text without lone surrogates") from None
    if present and all(isinstance(cell, list | tuple) for cell in present) and _is_uniform(present):
        try:
            return pa.array(cells), ""
        except (pa.ArrowException, UnicodeEncodeError, OverflowError):
            # Different nesting depths, or integers beyond 64 bits.
            return _texts(pa, name, cells, keep), _JSON
    return _texts(pa, name, cells, keep), _JSON


def _arrow_type(pa: ModuleType, there: list[Any]) -> Any:
    """Return the Arrow type of scalars; None if no single type holds all of them exactly."""
    types = {type(cell) for cell in there}
    simple = {bool: pa.bool_(), str: pa.string(), bytes: pa.binary(), float: pa.float64(), date: pa.date32()}
    simple |= {timedelta: pa.duration("us")}
    if not types:
        return pa.null()
    if len(types) == 1 and (single := next(iter(types))) in simple:
        return simple[single]
    if types == {int}:
        low, high = min(there), max(there)
        if low >= -(2**63) and high < 2**63:
            return pa.int64()
        return pa.uint64() if low >= 0 and high < 2**64 else None
    if types == {int, float}:
        exact = all(type(cell) is float or abs(cell) <= FLOAT64_EXACT_INT for cell in there)
        return pa.float64() if exact else None
    if types == {time}:
        return pa.time64("us") if all(cell.tzinfo is None for cell in there) else None
    return _time_type(pa, there)


def _time_type(pa: ModuleType, there: list[Any]) -> Any:
    if all(isinstance(cell, np.datetime64) for cell in there):
        units = {np.datetime_data(cell)[0] for cell in there}
        return pa.timestamp(units.pop()) if len(units) == 1 and units <= {"s", "ms", "us", "ns"} else None
    if all(isinstance(cell, datetime) for cell in there):
        aware = {cell.tzinfo is not None for cell in there}
        fine = any(getattr(cell, "nanosecond", 0) for cell in there)
        return pa.timestamp("ns" if fine else "us", "UTC" if aware == {True} else None) if len(aware) == 1 else None
    return None


def _is_uniform(cells: list[Any]) -> bool:
    """Return whether lists hold values of one Arrow type at any depth; None is allowed."""
    types = _leaves(cells)
    types.discard(type(None))
    return len(types) == 1 and types <= {bool, int, float, str}


def _leaves(cells: list[Any] | tuple[Any, ...]) -> set[type]:
    types: set[type] = set()
    for cell in cells:
        types |= _leaves(cell) if isinstance(cell, list | tuple) else {type(cell)}
    return types


def _texts(pa: ModuleType, name: str, cells: Sequence[Any], keep: Keep) -> Any:
    texts = []
    for row, cell in enumerate(cells):
        try:
            texts.append(None if cell is None else _cell_json(cell, keep))
        except (UnstorableError, OSError, UnicodeEncodeError) as error:
            raise UnstorableError(f"column {name!r}, row {row}: {error}") from error
    return pa.array(texts, pa.string())


def _cell_json(cell: Any, keep: Keep) -> str:
    media = media_cell(cell, keep)
    if media is None:
        # An array of one element stays an array here; log() stores such an array as its element.
        value = Array(cell) if is_array(cell) and dtype_kind(cell) != "V" else cell
        text = json.dumps(to_json_value(value), ensure_ascii=False, allow_nan=False)
        text.encode()
        return text
    kind, reference = media
    return json.dumps({TYPE: MEDIA, "kind": kind, **json.loads(reference)}, ensure_ascii=False)


def _decode_column(pa: ModuleType, column: Any, mark: str, media: Callable[[Mapping[str, Any]], Any]) -> list[Any]:
    if mark == _ARRAY:
        return [None if not cell.is_valid else cell.values.to_numpy(zero_copy_only=False) for cell in column]
    if mark in {MEDIA, _JSON}:
        return [None if text is None else _read_cell(json.loads(text), media) for text in column.to_pylist()]
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return [None if np.isnat(cell) else cell for cell in column.to_numpy()]
    cells: list[Any] = column.to_pylist()
    return cells


def _read_cell(parsed: Any, media: Callable[[Mapping[str, Any]], Any]) -> Any:
    if isinstance(parsed, dict) and parsed.get(TYPE) == MEDIA:
        reference = {name: value for name, value in parsed.items() if name != TYPE}
        if "items" not in reference:
            return media(reference)
        return [media({"kind": reference["kind"], **item}) for item in reference["items"]]
    return restore_value([parsed])[0]
