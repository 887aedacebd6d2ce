"""Expected stored values of a logged row, and the comparison of values that were read with them."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Cell(NamedTuple):
    """The expected location of a value, and the value."""

    key: str
    kind: str
    value: Any


def cells(row: Mapping[str, Any], prefix: str = "") -> list[Cell]:
    """Return the values that must be stored for a row, in plain Python."""
    found = []
    for name, value in row.items():
        key = f"{prefix}{name}"
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
            value = value.item()
        if isinstance(value, complex):
            value = [value.real, value.imag]
        if isinstance(value, dict) and value:
            found += cells(value, f"{key}.")
        elif isinstance(value, bool):
            found.append(Cell(key, "bool", value))
        elif isinstance(value, int | float):
            found.append(Cell(key, "number", value))
        elif isinstance(value, str):
            found.append(Cell(key, "string", value))
        else:
            found.append(Cell(key, "other", list(value) if isinstance(value, tuple) else value))
    return found


def same(found: Any, value: Any) -> bool:
    """Return whether values are equal: floats by their bits, integers by all digits, arrays with type and shape."""
    if isinstance(value, np.ndarray):
        if not isinstance(found, np.ndarray) or (found.dtype, found.shape) != (value.dtype, value.shape):
            return False
        return all(map(same, found.ravel().tolist(), value.ravel().tolist()))
    if isinstance(value, complex):
        return same(found.real, value.real) and same(found.imag, value.imag)
    if isinstance(value, list):
        return isinstance(found, list) and len(found) == len(value) and all(map(same, found, value))
    if isinstance(value, dict):
        return isinstance(found, dict) and list(found) == list(value) and all(same(found[k], value[k]) for k in value)
    if isinstance(value, float):
        return isinstance(found, float) and ((math.isnan(found) and math.isnan(value)) or bits(found) == bits(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return isinstance(found, int | float) and not isinstance(found, bool) and found == value
    return type(found) is type(value) and bool(found == value)


def bits(value: float) -> bytes:
    """Return a float's bytes."""
    return struct.pack("<d", value)
