"""The JSON of `other` values, such that what was logged can be read back exactly.

JSON has no NaN and no infinities; they are the texts "NaN", "Infinity" and "-Infinity". What could be mistaken for
something else is an object that says in `_type` what it is:

| `_type` | the object | is |
|---|---|---|
| `text` | `{"_type": "text", "value": "NaN"}` | a text that is one of those three |
| `dict` | `{"_type": "dict", "items": [["_type", 1]]}` | a dict with a key `_type` |
| `array` | `{"_type": "array", "dtype": "float32", "shape": [2, 2], "values": [[1.0, 2.0], [3.0, "NaN"]]}` | an array |

An object without `_type` is a dict, and so is one that says what it is and has another form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

TYPE: Final = "_type"
_PAIR: Final = 2
FLOATS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""What the names of floats stand for that JSON does not have."""


def float_json(value: float) -> float | str:
    """Return a float, or its name where JSON has none."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def text_json(value: str) -> str | dict[str, Any]:
    """Return a text so that it is not taken for a float."""
    return {TYPE: "text", "value": value} if value in FLOATS else value


def dict_json(items: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dict of ready values so that it is not taken for one of the objects above."""
    return {TYPE: "dict", "items": [list(item) for item in items.items()]} if TYPE in items else dict(items)


def read_other(value: Any, array: Callable[[Mapping[str, Any]], Any]) -> Any:
    """Return what parsed JSON stands for; an array is what `array` makes of its object."""
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
