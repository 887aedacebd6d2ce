"""A table's columns as a Parquet file, and back: the same cells, of the same types.

| cells of a column | stored as | read back as |
|---|---|---|
| bool; int; float, or both; str; bytes | their Arrow type; None as null | themselves |
| datetime, date, time, timedelta | their Arrow type in microseconds; times of a zone in UTC | themselves |
| numpy.datetime64, pandas times finer than microseconds | timestamps | numpy.datetime64 where finer than microseconds |
| lists of bools, of ints, of floats or of texts | Arrow lists | lists |
| arrays of one dimension and one number type | Arrow lists; marked `array` | numpy arrays |
| media, lists of media | their references as JSON texts; marked `media` | what `read` is told to make of a reference |
| all others: mixed types, dicts, integers over 64 bits | JSON (`rules.json_values`); marked `json` | themselves |

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
from stepwell.values.arrays import as_logged, is_array, kind_of
from stepwell.values.convert import Array, json_ready
from stepwell_schemas.limits import FLOAT64_EXACT_INT
from stepwell_schemas.rules.json_values import TYPE

CONTENT_TYPE: Final = "application/vnd.apache.parquet"
METADATA_KEY: Final = b"stepwell"
MEDIA: Final = "media"
_ARRAY, _JSON = "array", "json"
_WIDEST_BYTES: Final = 8

Encoded = tuple[Any, str]
"""A column as an Arrow array, and its mark ("" for none)."""


def pyarrow() -> ModuleType:
    """Return pyarrow. Raises: UnstorableError naming what to install."""
    try:
        return import_module("pyarrow")
    except ImportError:
        raise UnstorableError("tables are Parquet files, which need pyarrow: pip install 'stepwell[media]'") from None


def write(names: Sequence[str], columns: Sequence[Sequence[Any]], keep: Keep) -> bytes:
    """Return a Parquet file of columns; media in them give their files to `keep`.

    Raises:
        UnstorableError: naming the column and the row of a cell that can't be stored. NoRoomError: see `Keep`.
    """
    pa = pyarrow()
    from pyarrow import parquet

    marks: dict[str, str] = {}
    arrays = []
    for name, cells in zip(names, columns, strict=True):
        array, mark = _encoded(pa, name, cells, keep)
        arrays.append(array)
        if mark:
            marks[name] = mark
    schema = pa.schema([pa.field(name, array.type) for name, array in zip(names, arrays, strict=True)])
    schema = schema.with_metadata({METADATA_KEY: json.dumps({"columns": marks}, ensure_ascii=False).encode()})
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def read(data: bytes, media: Callable[[Mapping[str, Any]], Any]) -> tuple[list[str], list[list[Any]]]:
    """Return the names and the columns of a Parquet file that `write` made (of any other: its cells as they are).

    Args:
        media: makes a cell of a reference to media, which has its `kind` too.

    Raises:
        UnstorableError: when pyarrow is missing. pyarrow.ArrowException: when the bytes are no Parquet file.
    """
    pa = pyarrow()
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(data))
    marks = json.loads((table.schema.metadata or {}).get(METADATA_KEY, b'{"columns": {}}'))["columns"]
    columns = [
        _decoded(pa, column, marks.get(name, ""), media)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    return table.column_names, columns


def is_media_cell(value: Any) -> bool:
    """Say whether a cell is media, or a list of them."""
    return isinstance(value, Media) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Media))


def _encoded(pa: ModuleType, name: str, cells: Sequence[Any], keep: Keep) -> Encoded:
    there = [cell for cell in cells if cell is not None]
    if there and all(map(is_media_cell, there)):
        return _texts(pa, name, cells, keep), MEDIA
    if there and all(isinstance(cell, np.ndarray) for cell in there):
        one = there[0].dtype
        plain = one.kind in "biuf" and one.itemsize <= _WIDEST_BYTES and one.isnative
        if plain and all(cell.ndim == 1 and cell.dtype == one for cell in there):
            return pa.array(cells, pa.list_(pa.from_numpy_dtype(one))), _ARRAY
    kind = _arrow_type(pa, there)
    if kind is not None:
        try:
            return pa.array(cells, kind, from_pandas=False), ""
        except UnicodeEncodeError:
            raise UnstorableError(f"column {name!r}: must be text without lone surrogates") from None
    if there and all(isinstance(cell, list | tuple) for cell in there) and _is_uniform(there):
        try:
            return pa.array(cells), ""
        except (pa.ArrowException, UnicodeEncodeError, OverflowError):
            # Nested to different depths, or integers beyond 64 bits.
            return _texts(pa, name, cells, keep), _JSON
    return _texts(pa, name, cells, keep), _JSON


def _arrow_type(pa: ModuleType, there: list[Any]) -> Any:
    """Return the Arrow type of scalars; None when they have none in common that holds them all exactly."""
    types = {type(cell) for cell in there}
    simple = {bool: pa.bool_(), str: pa.string(), bytes: pa.binary(), float: pa.float64(), date: pa.date32()}
    simple |= {timedelta: pa.duration("us")}
    if not types:
        return pa.null()
    if len(types) == 1 and (one := next(iter(types))) in simple:
        return simple[one]
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
    """Say whether lists hold values of one type that Arrow has, at any depth; None may be among them."""
    types = _leaves(cells)
    types.discard(type(None))
    return len(types) == 1 and types <= {bool, int, float, str}


def _leaves(cells: list[Any] | tuple[Any, ...]) -> set[type]:
    found: set[type] = set()
    for cell in cells:
        found |= _leaves(cell) if isinstance(cell, list | tuple) else {type(cell)}
    return found


def _texts(pa: ModuleType, name: str, cells: Sequence[Any], keep: Keep) -> Any:
    texts = []
    for row, cell in enumerate(cells):
        try:
            texts.append(None if cell is None else _cell_json(cell, keep))
        except (UnstorableError, OSError, UnicodeEncodeError) as error:
            raise UnstorableError(f"column {name!r}, row {row}: {error}") from error
    return pa.array(texts, pa.string())


def _cell_json(cell: Any, keep: Keep) -> str:
    found = media_cell(cell, keep)
    if found is None:
        # An array of one element is an array here, not the element that log() would make of it.
        whole = Array(cell) if is_array(cell) and kind_of(cell) != "V" else cell
        text = json.dumps(json_ready(whole), ensure_ascii=False, allow_nan=False)
        text.encode()
        return text
    kind, reference = found
    return json.dumps({TYPE: MEDIA, "kind": kind, **json.loads(reference)}, ensure_ascii=False)


def _decoded(pa: ModuleType, column: Any, mark: str, media: Callable[[Mapping[str, Any]], Any]) -> list[Any]:
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
    return as_logged([parsed])[0]
