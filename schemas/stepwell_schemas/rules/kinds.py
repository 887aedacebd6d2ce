"""The kinds of values. Every value has one kind, and a metric is a key with a kind.

| kind | values |
|---|---|
| `number` | float64, including NaN and ±Inf; an integer that float64 can't represent also keeps its exact text |
| `string` | Unicode text |
| `bool` | true and false |
| `other` | lists, arrays, null and mixed values, as JSON |
| media | one kind each: a JSON reference to content-addressed bytes |
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from stepwell_schemas.limits import FLOAT64_EXACT_INT


class Kind(StrEnum):
    """The kind of a value; together with the key it identifies a metric."""

    NUMBER = "number"
    STRING = "string"
    BOOL = "bool"
    OTHER = "other"
    HISTOGRAM = "histogram"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    HTML = "html"
    TABLE = "table"
    OBJECT3D = "object3d"
    MOLECULE = "molecule"
    PLOTLY = "plotly"


SCALAR_KINDS: Final = frozenset({Kind.NUMBER, Kind.STRING, Kind.BOOL, Kind.OTHER})
MEDIA_KINDS: Final = frozenset(Kind) - SCALAR_KINDS
_NAMES: Final = frozenset(map(str, Kind))


def is_kind(name: str) -> bool:
    """Return True if a stored name is a kind of this version; a newer version may have stored others."""
    return name in _NAMES


def exact_text(value: int) -> str:
    """Return the decimal text of an integer that float64 can't represent exactly, otherwise ""."""
    if -FLOAT64_EXACT_INT <= value <= FLOAT64_EXACT_INT:
        return ""
    try:
        return "" if int(float(value)) == value else str(value)
    except OverflowError:
        return str(value)


def as_float(value: int) -> float:
    """Convert an integer of any size to the nearest float64, ±Inf if it is out of range."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
