"""Conversion of values given to `log()`; values are copied during the call, so later changes have no effect.

| given | stored |
|---|---|
| bool | bool |
| int of up to 640 digits, float, NaN, ±Inf | number; integers beyond 2^53 keep their exact text |
| scalars and 1-element arrays of numpy, torch, jax, TensorFlow, … | as their one value |
| Decimal, Fraction | number: exact where integral, else the nearest float64 |
| timedelta, numpy.timedelta64 | number of seconds |
| str; datetime, date, time, numpy.datetime64 | string; ISO 8601 |
| bytes | string, where they are UTF-8 |
| paths | string |
| Enum | as its value |
| None, lists, tuples, deques, sets, complex | other, as JSON |
| arrays | other, as JSON with their dtype and shape |
| media (`stepwell.Image`, figures, …), a list of media of one kind | their kind; the reference to their files, JSON |
| dict | one metric for each leaf, keys joined by "."; enum members are keys by their name |
| anything else, texts over TEXT_MAX_BYTES, keys that break the key rule | not stored; one warning, then counted |
| what contains itself, or has more than VALUE_MAX_LEAVES | not stored, likewise |

No library is imported for it (see `stepwell.values.arrays`). `stepwell_schemas.rules.json_values` defines the JSON.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from stepwell.errors import UnstorableError
from stepwell.values.arrays import array_to_json, dtype_kind, host_array, is_array, to_scalar
from stepwell.values.structure import MAX_DEPTH, count_parts
from stepwell_schemas.limits import TEXT_MAX_BYTES, VALUE_MAX_LEAVES
from stepwell_schemas.rules.json_values import dict_json, float_json, text_json

Cell = tuple[str, Any]
"""A kind (`number`, `string`, `bool`, `other`, a media kind), and the value: number, text, bool, JSON text."""

_MAX_DIGITS: Final = 640
"""Digits of an integer: the most that Python converts to text under any `sys.set_int_max_str_digits`."""
_MAX_INT_BITS: Final = int(_MAX_DIGITS / math.log10(2))
CYCLE: Final = "contains itself"
_MAX_TEXT: Final = f"must have at most {TEXT_MAX_BYTES:,} bytes of UTF-8"


class Array(NamedTuple):
    """An array of zero or several elements, as an object with `tolist()`, not converted to JSON yet."""

    value: Any


_CONTAINERS: Final = (Array, Mapping, list, tuple, range, set, frozenset)


def key_text(key: Any) -> str:
    """Return a mapping's key as text: strings unchanged, enum members by name, other objects through `str`."""
    if isinstance(key, str):
        return str.__str__(key)
    return key.name if isinstance(key, Enum) else str(key)


def to_cell(value: Any) -> Cell:
    """Return the kind and plain value of one value. Raises: UnstorableError."""
    plain = to_plain(value)
    if isinstance(plain, bool):
        return "bool", plain
    if isinstance(plain, int | float):
        return "number", plain
    if isinstance(plain, str):
        check_text(plain)
        return "string", plain
    text = json.dumps(to_json_value(plain), ensure_ascii=False, allow_nan=False)
    check_text(text)
    return "other", text


def check_text(text: str) -> None:
    """Check that a text fits a value. Raises: UnstorableError."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise UnstorableError("must be text without lone surrogates") from None
    if size > TEXT_MAX_BYTES:
        raise UnstorableError(_MAX_TEXT)


def to_plain(value: Any) -> Any:
    """Return a value as bool, int, float, str or None, or as a container that is not converted to JSON yet.

    Raises:
        UnstorableError: if it is none of them.
    """
    if isinstance(value, Enum):
        return to_plain(value.value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return _checked_int(int(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset | range):
        return value
    return _to_plain_rare(value)


def _checked_int(value: int) -> int:
    if value.bit_length() > _MAX_INT_BITS:
        raise UnstorableError(f"integers may have at most {_MAX_DIGITS} digits")
    return value


def _to_plain_rare(value: Any) -> Any:
    if isinstance(value, Decimal):
        # Checked before conversion: 1E+999999999 is a small Decimal, and an int of 400 MB.
        if value.is_finite() and value.adjusted() >= _MAX_DIGITS:
            raise UnstorableError(f"integers may have at most {_MAX_DIGITS} digits")
        integral = value.is_finite() and value == value.to_integral_value()
        return int(value) if integral else float(value)
    if isinstance(value, Fraction):
        return _checked_int(int(value)) if value.denominator == 1 else float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, deque):
        return list(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise UnstorableError("bytes must be UTF-8 text") from None
    if is_array(value):
        return _array_to_plain(host_array(value))
    raise UnstorableError(f"values of type {type(value).__module__}.{type(value).__qualname__} are not supported")


def _array_to_plain(value: Any) -> Any:
    count = math.prod(value.shape)
    if dtype_kind(value) == "V" and value.dtype.names:
        raise UnstorableError("structured arrays are not supported: log each field separately")
    if count == 1:
        return to_plain(to_scalar(value))
    if count > TEXT_MAX_BYTES:
        raise UnstorableError(_MAX_TEXT)
    return Array(value)


def escape_surrogates(text: str) -> str:
    """Return a text with lone surrogates (of undecodable file names, for instance) escaped: UTF-8 has none."""
    return text.encode("utf-8", "backslashreplace").decode()


def to_json_value(value: Any, *, exact: bool = True, max_leaves: int = VALUE_MAX_LEAVES) -> Any:
    """Return a value in JSON's types; NaN and ±Inf become the strings "NaN", "Infinity", "-Infinity".

    Args:
        value: any value that `to_plain` accepts.
        exact: mark arrays and ambiguous values with their type (see `stepwell_schemas.rules.json_values`).
        max_leaves: bound of its leaves; files hold more than cells.

    Raises:
        UnstorableError: if a part of it has no JSON form, it contains itself, is nested too deep, or has too many
            leaves.
    """
    if count_parts(value) > max_leaves:
        raise UnstorableError(f"has more than {max_leaves:,} leaves")
    return _JsonConversion(exact, max_leaves).convert(value)


class _JsonConversion:
    """The conversion of one value; its work is bounded also where `count_parts` can't see all of it."""

    def __init__(self, exact: bool, max_leaves: int) -> None:
        self._exact = exact
        self._max_leaves = self._room = max_leaves
        self._open: set[int] = set()

    def convert(self, value: Any) -> Any:
        """Return a part in JSON's types. Raises: UnstorableError."""
        self._room -= 1
        if self._room < 0:
            raise UnstorableError(f"has more than {self._max_leaves:,} leaves")
        plain = value if isinstance(value, Array) else to_plain(value)
        if isinstance(plain, float):
            return float_json(plain)
        if isinstance(plain, str):
            return text_json(plain) if self._exact else plain
        if not isinstance(plain, _CONTAINERS):
            return plain
        if id(value) in self._open:
            raise UnstorableError(CYCLE)
        if len(self._open) >= MAX_DEPTH:
            raise UnstorableError(f"must be nested at most {MAX_DEPTH} deep")
        self._open.add(id(value))
        try:
            return self._convert_container(plain)
        finally:
            self._open.discard(id(value))

    def _convert_container(self, plain: Any) -> Any:
        if isinstance(plain, Array):
            return array_to_json(plain.value, self.convert) if self._exact else self.convert(plain.value.tolist())
        if isinstance(plain, Mapping):
            items = {key_text(key): self.convert(item) for key, item in plain.items()}
            return dict_json(items) if self._exact else items
        if isinstance(plain, set | frozenset):
            return sorted((self.convert(item) for item in plain), key=repr)
        return [self.convert(item) for item in plain]
