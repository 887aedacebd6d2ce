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
    stored = []
    for name, value in row.items():
        key = f"{prefix}{name}"
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
            value = value.item()
        if isinstance(value, complex):
            value = [value.real, value.imag]
        if isinstance(value, dict) and value:
            stored += cells(value, f"{key}.")
        elif isinstance(value, bool):
            stored.append(Cell(key, "bool", value))
        elif isinstance(value, int | float):
            stored.append(Cell(key, "number", value))
        elif isinstance(value, str):
            stored.append(Cell(key, "string", value))
        else:
            stored.append(Cell(key, "other", list(value) if isinstance(value, tuple) else value))
    return stored


def same(stored: Any, value: Any) -> bool:
    """Return whether values are equal: floats by their bits, integers by all digits, arrays with type and shape."""
    if isinstance(value, np.ndarray):
        if not isinstance(stored, np.ndarray) or (stored.dtype, stored.shape) != (value.dtype, value.shape):
            return False
        return all(map(same, stored.ravel().tolist(), value.ravel().tolist()))
    if isinstance(value, complex):
        return same(stored.real, value.real) and same(stored.imag, value.imag)
    if isinstance(value, list):
        return isinstance(stored, list) and len(stored) == len(value) and all(map(same, stored, value))
    if isinstance(value, dict):
        return (
            isinstance(stored, dict) and list(stored) == list(value) and all(same(stored[k], value[k]) for k in value)
        )
    if isinstance(value, float):
        return isinstance(stored, float) and ((math.isnan(stored) and math.isnan(value)) or bits(stored) == bits(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return isinstance(stored, int | float) and not isinstance(stored, bool) and stored == value
    return type(stored) is type(value) and bool(stored == value)


def bits(value: float) -> bytes:
    """Return a float's bytes."""
    return struct.pack("<d", value)
