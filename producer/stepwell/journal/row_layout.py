"""Layouts of packed rows: the keys, their order, and their `struct` codes.

A layout is created once for each combination of keys and value types in `log()` calls. Its definition is written to
each segment of the journal before its first row there, so that a segment can be read without the ones before it.
"""

from __future__ import annotations

import struct
from itertools import groupby
from typing import Any, Final

ROW_HEAD: Final = "<IqqB"
"""A row's fixed part: layout tag, timestamp (µs since the epoch), asked step, commit code."""

FLOAT_CODE: Final = "d"
INT_CODE: Final = "q"
BOOL_CODE: Final = "?"

UNDEFINED: Final = 1 << 62


class Layout:
    """The layout of packed rows.

    Attributes:
        reserve: the bytes that a row needs, or UNDEFINED while the last segment of the journal lacks its definition.
            No segment has room for UNDEFINED bytes, so that one comparison covers both.
        last_values: the values of the newest row (immutable scalars, so a reference is enough).
        newest: the sequence number of the newest row. rows: the number of rows written.
        observers: pairs of a value's index and the observer that `define_metric` attached to its key.
        missing_step_metrics: the step metrics of its keys that the row itself lacks.
    """

    __slots__ = (
        "codes",
        "keys",
        "last_values",
        "missing_step_metrics",
        "newest",
        "observers",
        "pack",
        "record_bytes",
        "reserve",
        "rows",
        "tag",
    )

    def __init__(self, tag: int, keys: tuple[str, ...], codes: str) -> None:
        row = struct.Struct(ROW_HEAD + codes)
        self.tag = tag
        self.keys = keys
        self.codes = codes
        self.pack = row.pack
        self.record_bytes = row.size + 8
        self.reserve = UNDEFINED
        self.last_values: tuple[Any, ...] | None = None
        self.newest = -1
        self.rows = 0
        self.observers: tuple[tuple[int, Any], ...] = ()
        self.missing_step_metrics: tuple[Any, ...] = ()

    def code_runs(self) -> list[tuple[str, int, int]]:
        """Return the runs of equal codes as (code, index of the first key, index after the last key)."""
        runs = []
        first = 0
        for code, group in groupby(self.codes):
            end = first + sum(1 for _ in group)
            runs.append((code, first, end))
            first = end
        return runs


def struct_code(kind: type) -> str | None:
    """Return the struct code of a value type; None if such values don't fit a packed row.

    Scalars of Python and numpy fit. They are recognized by the name of their type, without importing numpy.
    """
    if kind is float:
        return FLOAT_CODE
    if kind is int:
        return INT_CODE
    if kind is bool:
        return BOOL_CODE
    if kind.__module__ == "numpy" and hasattr(kind, "dtype"):
        name = kind.__name__
        if name.startswith("bool"):
            return BOOL_CODE
        if (
            name.startswith(("int", "uint", "long", "ulong", "short", "byte", "ubyte", "ushort"))
            and name != "longdouble"
        ):
            return INT_CODE
        if name in {"float16", "float32", "float64", "longdouble"}:
            return FLOAT_CODE
    return None


def struct_codes(kinds: tuple[type, ...]) -> str | None:
    """Return the struct codes of a row of such types; None if one of them does not fit."""
    codes = [struct_code(kind) for kind in kinds]
    return None if None in codes else "".join(code for code in codes if code)
