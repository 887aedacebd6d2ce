"""The JSON representation of `other` values, which preserves logged values exactly.

JSON has no NaN and no infinities; they become the texts "NaN", "Infinity" and "-Infinity". Values that would be
ambiguous become an object with a type name in `_type`:

| `_type` | object | value |
|---|---|---|
| `text` | `{"_type": "text", "value": "NaN"}` | a text that is one of those three |
| `dict` | `{"_type": "dict", "items": [["_type", 1]]}` | a dict with a key `_type` |
| `array` | `{"_type": "array", "dtype": "float32", "shape": [2, 2], "values": [[1.0, 2.0], [3.0, "NaN"]]}` | an array |

An object without `_type`, or with a `_type` but another form, is a dict.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

TYPE: Final = "_type"
_PAIR: Final = 2
FLOATS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""Floats that JSON can't represent, by name."""


def float_json(value: float) -> float | str:
    """Return a float, or its name if JSON can't represent it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def text_json(value: str) -> str | dict[str, Any]:
    """Represent a text; the names of floats become objects."""
    return {TYPE: "text", "value": value} if value in FLOATS else value


def dict_json(items: Mapping[str, Any]) -> dict[str, Any]:
    """Represent a dict of converted values; a dict with the key `_type` becomes an object."""
    return {TYPE: "dict", "items": [list(item) for item in items.items()]} if TYPE in items else dict(items)


def read_other(value: Any, array: Callable[[Mapping[str, Any]], Any]) -> Any:
    """Return the value of parsed JSON; `array` converts the objects of arrays."""
    if isinstance(value, str):
        return FLOATS.get(value, value)
    if isinstance(value, list):
        return [read_other(item, array) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get(TYPE), value:
        case "text", {"value": text}:
            return text
        case "dict", {"items": [*items]} if all(_is_item(item) for item in items):
            return {key: read_other(item, array) for key, item in items}
        case "array", {"dtype": str(), "shape": [*_], "values": _}:
            return array(value)
    return {key: read_other(item, array) for key, item in value.items()}


def _is_item(item: Any) -> bool:
    return isinstance(item, list) and len(item) == _PAIR and isinstance(item[0], str)
