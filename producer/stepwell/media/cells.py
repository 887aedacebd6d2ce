"""The cells of a table: what is kept of a value, and the types that a column is checked by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Final

import numpy as np

from stepwell.media import parquet
from stepwell.media.adapters import as_media
from stepwell.media.base import Media
from stepwell.values.arrays import host_array, is_array, scalar_of

ANY: Final = "mixed"
"""Cells of several types."""

UNKNOWN: Final = ""
"""The type of a column that holds no cell yet."""

_MISSING: Final = frozenset({"NAType", "NaTType"})
"""What pandas has in place of a missing value."""

# The first that fits: bool is an int, and datetime a date, to Python.
_TYPES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "bool"),
    ((int, float, Decimal, Fraction), "number"),
    (str, "string"),
    ((bytes, bytearray), "bytes"),
    ((datetime, np.datetime64), "datetime"),
    (date, "date"),
    (time, "time"),
    ((timedelta, np.timedelta64), "timedelta"),
    (Mapping, "dict"),
    ((list, tuple, set, frozenset, range), "list"),
)
_NUMPY_TYPES: Final = {"b": "bool", "i": "number", "u": "number", "f": "number", "U": "string", "M": "datetime"}


def cell_of(value: Any) -> Any:
    """Return a cell as it is kept: foreign figures as media, scalars of array libraries as Python's."""
    if value is None or type(value) in {bool, int, float, str}:
        return value
    media = as_media(value)
    if media is not None:
        return media
    if isinstance(value, Enum):
        return cell_of(value.value)
    if type(value).__name__ in _MISSING or (isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value)):
        return None
    if isinstance(value, np.datetime64 | np.timedelta64):
        # Of units that Python has not, numpy's item is a bare integer.
        item = value.item()
        return value if isinstance(item, int) else item
    if is_array(value):
        array = host_array(value)
        return scalar_of(array) if array.shape == () else array
    return value


def type_of(cell: Any) -> str:
    """Return the name of a cell's type: `number`, `string`, …, a kind of media, or `list of` one."""
    if isinstance(cell, Media):
        return str(cell.kind)
    if parquet.is_media_cell(cell):
        return f"list of {cell[0].kind}"
    for types, name in _TYPES:
        if isinstance(cell, types):
            return name
    return "array" if is_array(cell) else f"{type(cell).__module__}.{type(cell).__qualname__}"


def common_type(cells: list[Any]) -> str:
    """Return the type of a column's cells: "null" where all are None, "mixed" where they differ."""
    found = {type_of(cell) for cell in cells if cell is not None}
    return "null" if not found else found.pop() if len(found) == 1 else ANY


def named_type(dtype: Any) -> str:
    """Return the name of a type that a column is declared to hold. Raises: TypeError."""
    if dtype is None or dtype is Any:
        return UNKNOWN if dtype is None else ANY
    if dtype == ANY:
        return ANY
    if isinstance(dtype, type):
        if issubclass(dtype, Media):
            return str(dtype.kind)
        if issubclass(dtype, np.generic) and np.dtype(dtype).kind in _NUMPY_TYPES:
            return _NUMPY_TYPES[np.dtype(dtype).kind]
        if issubclass(dtype, np.ndarray):
            return "array"
        for types, name in _TYPES:
            if issubclass(dtype, types):
                return name
    raise TypeError(
        f"dtype {dtype!r}: must be a type (int, float, str, bool, datetime, list, dict, an array's, media's)"
    )
