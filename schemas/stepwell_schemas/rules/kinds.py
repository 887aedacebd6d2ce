"""The type rule: every value has one kind, and a metric is a key with a kind.

| kind | values |
|---|---|
| `number` | float64, NaN and ±Inf included; an integer that float64 can't hold keeps its exact text beside |
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
    """The kind of a value; with the key it names a metric."""

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
    """Tell if a stored name is a kind of this version: a newer one may have stored others."""
    return name in _NAMES


def exact_text(value: int) -> str:
    """Return the decimal text of an integer that float64 can't hold exactly, or "" when float64 does."""
    if -FLOAT64_EXACT_INT <= value <= FLOAT64_EXACT_INT:
        return ""
    try:
        return "" if int(float(value)) == value else str(value)
    except OverflowError:
        return str(value)


def as_float(value: int) -> float:
    """Return the float64 nearest to an integer of any size; beyond float64's range, ±Inf."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
