"""Cells of tables: conversion of values, and the types that columns are checked against."""

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
from stepwell.values.arrays import host_array, is_array, to_scalar

ANY: Final = "mixed"
"""The type of a column with cells of several types."""

UNKNOWN: Final = ""
"""The type of a column without cells."""

_MISSING: Final = frozenset({"NAType", "NaTType"})
"""Type names of pandas' missing values."""

# The first match counts: in Python, bool is a subclass of int, and datetime of date.
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


def to_table_cell(value: Any) -> Any:
    """Return a value as a cell: foreign figures become media, scalars of array libraries Python scalars."""
    if value is None or type(value) in {bool, int, float, str}:
        return value
    media = as_media(value)
    if media is not None:
        return media
    if isinstance(value, Enum):
        return to_table_cell(value.value)
    if type(value).__name__ in _MISSING or (isinstance(value, np.datetime64 | np.timedelta64) and np.isnat(value)):
        return None
    if isinstance(value, np.datetime64 | np.timedelta64):
        # For units that Python lacks, numpy's item is a bare integer.
        item = value.item()
        return value if isinstance(item, int) else item
    if is_array(value):
        array = host_array(value)
        return to_scalar(array) if array.shape == () else array
    return value


def cell_type(cell: Any) -> str:
    """Return the name of a cell's type: `number`, `string`, …, a media kind, or `list of` one."""
    if isinstance(cell, Media):
        return str(cell.kind)
    if parquet.is_media_cell(cell):
        return f"list of {cell[0].kind}"
    for types, name in _TYPES:
        if isinstance(cell, types):
            return name
    return "array" if is_array(cell) else f"{type(cell).__module__}.{type(cell).__qualname__}"


def common_type(cells: list[Any]) -> str:
    """Return the type of a column's cells: "null" if all are None, "mixed" if they differ."""
    types = {cell_type(cell) for cell in cells if cell is not None}
    return "null" if not types else types.pop() if len(types) == 1 else ANY


def parse_dtype(dtype: Any) -> str:
    """Return the name of a column's declared type. Raises: TypeError."""
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
        f"dtype {dtype!r}: must be a type: int, float, str, bool, datetime, list, dict, an array or a media type"
    )
