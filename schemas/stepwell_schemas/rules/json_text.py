"""Normalise producers' JSON (documents and `other` values) to strict JSON.

Strict JSON can be read by any parser, including orjson, ClickHouse and browsers. A text that is strict already is
returned unchanged, byte for byte; with an integer beyond float64's range, without its white space. Other texts are
converted:

| the text has | result |
|---|---|
| `NaN`, `Infinity`, `-Infinity`, `1e999`, an integer over 640 digits | the texts `"NaN"`, `"Infinity"`, `"-Infinity"` |
| a lone surrogate (`"\\ud800"`) | U+FFFD in its place |
| more than JSON_MAX_DEPTH levels of lists and objects | error |
| other invalid JSON | error |

Members of documents are always serialised again; of duplicate keys, the last one is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from stepwell_schemas.limits import JSON_MAX_DEPTH
from stepwell_schemas.rules.json_values import float_json

# The most that the SDK takes of an integer. JSON bounds no number, and what was logged comes back as it was.
_EXACT_DIGITS: Final = 640
_encode: Final = json.JSONEncoder(allow_nan=False).encode


class JsonTextError(ValueError):
    """A text that can't be stored as JSON."""


def strict_json(text: str) -> str:
    """Convert a JSON text to strict JSON. Raises: JsonTextError."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _encode(_parsed(text))
    if text.count("[") + text.count("{") > JSON_MAX_DEPTH:
        _check_depth(value)
    return text


def json_members(text: str) -> dict[str, str]:
    """Return the members of a JSON object, each value as strict JSON. Raises: JsonTextError."""
    value = _parsed(text)
    if not isinstance(value, dict):
        raise JsonTextError(f"must be a JSON object, not {type(value).__name__}")
    return {key: _encode(member) for key, member in value.items()}


def stored_members(text: str) -> dict[str, str]:
    """Return the members of an object that may have been stored before these rules, without invalid ones."""
    try:
        value = json.loads(text, parse_int=_whole)
    except (ValueError, RecursionError):
        return {}
    found = {}
    for key, member in value.items() if isinstance(value, dict) else ():
        try:
            found[_plain_text(key)] = _encode(_strict(member, 2))
        except JsonTextError:
            continue
    return found


class JsonObject:
    """A JSON object whose values are JSON texts; it tracks its size, so that changes need not measure it again."""

    def __init__(self, members: Mapping[str, str] | None = None) -> None:
        self._members = dict(members or {})
        self.bytes = sum(map(_member_bytes, self._members.items()))

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonObject) and self._members == other._members

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> JsonObject:
        """Return an independent copy."""
        copy = JsonObject()
        copy._members, copy.bytes = dict(self._members), self.bytes
        return copy

    def growth(self, new: Mapping[str, str], removed: Iterable[str] = ()) -> int:
        """Return the number of bytes that `merge` would add."""
        known = self._members
        added = sum(_member_bytes(member) - self._bytes_of(member[0]) for member in new.items())
        return added - sum(self._bytes_of(key) for key in {*removed} if key in known and key not in new)

    def merge(self, new: Mapping[str, str], removed: Iterable[str] = ()) -> None:
        """Set the new members, and remove the keys in `removed` that are not among them."""
        self.bytes += self.growth(new, removed)
        for key in removed:
            if key not in new:
                self._members.pop(key, None)
        self._members.update(new)

    def move_last(self, new: Mapping[str, str]) -> None:
        """Set members and move them to the end."""
        self.merge(new)
        for key in new:
            self._members[key] = self._members.pop(key)

    def values(self) -> Iterator[str]:
        """Return the values as JSON texts."""
        return iter(self._members.values())

    def text(self) -> str:
        """Return the object as JSON."""
        return "{" + ", ".join(f"{_encode(key)}: {value}" for key, value in self._members.items()) + "}"

    def _bytes_of(self, key: str) -> int:
        known = self._members.get(key)
        return 0 if known is None else _member_bytes((key, known))


def _member_bytes(member: tuple[str, str]) -> int:
    # The values are ASCII; a character of a key may take six bytes (`\\uXXXX`).
    return 6 * len(member[0]) + len(member[1])


def _parsed(text: str) -> Any:
    """Parse a JSON text; convert values that strict JSON can't represent."""
    try:
        value = json.loads(text, parse_int=_whole)
    except RecursionError:
        raise JsonTextError(_TOO_DEEP) from None
    except ValueError as error:
        raise JsonTextError(f"is not JSON: {error}") from None
    return _strict(value, 1)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits.lstrip("-")) <= _EXACT_DIGITS else float(digits)


def _strict(value: Any, level: int) -> Any:
    if isinstance(value, str):
        return _plain_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else float_json(value)
    if not isinstance(value, list | dict):
        return value
    if level > JSON_MAX_DEPTH:
        raise JsonTextError(_TOO_DEEP)
    if isinstance(value, list):
        return [_strict(item, level + 1) for item in value]
    return {_plain_text(key): _strict(item, level + 1) for key, item in value.items()}


def _plain_text(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(JSON_MAX_DEPTH):
        level = [
            item
            for outer in level
            for item in (outer if isinstance(outer, list) else outer.values())
            if isinstance(item, list | dict)
        ]
        if not level:
            return
    raise JsonTextError(_TOO_DEEP)


_TOO_DEEP: Final = f"is nested more than {JSON_MAX_DEPTH} levels deep"
