"""The shapes of rows: which keys, in which order, packed with which `struct` codes.

A layout is made once for each shape of `log()` calls (keys and value types). Its definition goes into the journal
before its first row, so that a reader needs nothing else.
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


class Layout:
    """One shape of rows.

    Attributes:
        last_values: those of the newest row (immutable scalars, so a reference is enough).
        rows: how many were written.
        followed: the places of the values that a definition is about, each with what takes them.
        missing: the step metrics that its keys are drawn against and that it lacks.
    """

    __slots__ = ("codes", "followed", "keys", "last_values", "missing", "newest", "pack", "record_bytes", "rows", "tag")

    def __init__(self, tag: int, keys: tuple[str, ...], codes: str) -> None:
        row = struct.Struct(ROW_HEAD + codes)
        self.tag = tag
        self.keys = keys
        self.codes = codes
        self.pack = row.pack
        self.record_bytes = row.size + 8
        self.last_values: tuple[Any, ...] | None = None
        self.newest = -1
        self.rows = 0
        self.followed: tuple[tuple[int, Any], ...] = ()
        self.missing: tuple[Any, ...] = ()

    def code_runs(self) -> list[tuple[str, int, int]]:
        """Return the stretches of equal codes as (code, first key, one past the last key)."""
        runs = []
        first = 0
        for code, group in groupby(self.codes):
            end = first + sum(1 for _ in group)
            runs.append((code, first, end))
            first = end
        return runs


def code_of(kind: type) -> str | None:
    """Return the struct code of a value type, None where a value of it does not fit a packed row.

    Python's and numpy's own scalars fit, and are told by their type alone; numpy is not imported for it.
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


def codes_of(kinds: tuple[type, ...]) -> str | None:
    """Return the struct codes of a row of such types, None when one of them does not fit."""
    codes = [code_of(kind) for kind in kinds]
    return None if None in codes else "".join(code for code in codes if code)
