"""Conversion of config and summary to JSON's types. Configuration objects become nested dicts, which filters reach."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final

from stepwell.errors import UnstorableError
from stepwell.values.config_objects import Members, Unset, find_items, find_members, stable_text
from stepwell.values.convert import CYCLE, escape_surrogates, key_text, to_json_value
from stepwell.values.structure import MAX_DEPTH, count_parts
from stepwell_schemas.limits import TEXT_MAX_BYTES, VALUE_MAX_LEAVES
from stepwell_schemas.rules.json_values import FLOATS

Report = Callable[[str, str], None]
"""Callback for a part that is not stored: its path, such as `optimizer.betas[1]`, and the rule."""

OMITTED: Final = object()
"""The result for a value that is not stored."""

_ENUM_VALUES: Final = (str, int, float, tuple, list, dict, type(None))
_LARGE_ARRAY: Final = (
    f"an array or a data frame without JSON of at most {TEXT_MAX_BYTES:,} bytes; log() it, as an array or a Table"
)
_EXACT: Final = (bool, float, str, type(None))


class MetadataConversion:
    """Conversion of config and summary to JSON's types. Configuration objects become dicts of their members.

    A part that can't be stored is reported with its path, and left out, or None in a list: a member without a value, a
    reference of a container to itself, an array whose JSON is too large. Objects of other types become their `str`, or
    their name where that has an address in memory.

    Args:
        report: receives the path and the rule of each part that is left out.
        media: stores a media value, or a list of them, and returns its reference, None for other values; it may raise
            any error.
    """

    def __init__(self, report: Report, media: Callable[[Any], Any] | None = None) -> None:
        self._report = report
        self._media = media
        self._room = VALUE_MAX_LEAVES
        self._open: dict[int, str] = {}

    def convert_mapping(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """Return a mapping with text keys; each value is bounded separately."""
        self._open = {id(values): ""}
        return self._collect(list(values.items()), "", self.convert_member)

    def convert_member(self, path: str, value: Any) -> Any:
        """Return one value, OMITTED if it can't be stored. Never raises."""
        self._room = VALUE_MAX_LEAVES
        try:
            if count_parts(value) <= VALUE_MAX_LEAVES:
                return self._convert(path, value)
        except _TooLargeError:
            pass
        except RecursionError:
            return self._omit(path, "is nested too deep")
        return self._omit(path, f"has more than {VALUE_MAX_LEAVES:,} leaves")

    def _convert(self, path: str, value: Any) -> Any:
        self._room -= 1
        if self._room < 0:
            raise _TooLargeError
        if type(value) in _EXACT:
            return escape_surrogates(value) if type(value) is str else value
        if isinstance(value, Unset):
            return self._omit(path, value.rule)
        # A list that is extended has no media value as a whole, though its items may be some.
        if self._media is not None and (self._open or not isinstance(value, list)):
            try:
                reference = self._media(value)
            except Exception as error:
                # A file that can't be read, pixels of no image: as in `log()`, the rest is stored.
                return self._omit(path, str(error).partition("\n")[0] or type(error).__name__)
            if reference is not None:
                return reference
        try:
            members = find_members(value)
            items = find_items(value) if members is None else None
        except Exception:
            # Foreign objects may raise anything when they are read.
            return _as_text(value)
        if members is None and items is None:
            return self._convert_leaf(path, value)
        return self._convert_container(path, value, members, items)

    def _convert_container(self, path: str, value: Any, members: Members | None, items: Iterable[Any] | None) -> Any:
        if id(value) in self._open:
            return self._omit(path, f"{CYCLE}: it is {self._open[id(value)] or 'the whole'!r}")
        if len(self._open) > MAX_DEPTH:
            return self._omit(path, f"is nested more than {MAX_DEPTH} deep")
        self._open[id(value)] = path
        try:
            if members is not None:
                return self._collect(members, f"{path}." if path else "", self._convert)
            ready = [self._convert(f"{path}[{index}]", item) for index, item in enumerate(items or ())]
        finally:
            del self._open[id(value)]
        ready = [None if item is OMITTED else item for item in ready]
        return sorted(ready, key=repr) if isinstance(value, set | frozenset) else ready

    def _collect(self, members: Members, prefix: str, convert: Callable[[str, Any], Any]) -> dict[str, Any]:
        ready: dict[str, Any] = {}
        for key, value in members:
            name = _key(key)
            inner = convert(prefix + name, value)
            if name in ready:
                self._report(prefix + name, "two keys have this text; the later one is kept")
            if inner is not OMITTED:
                ready[name] = inner
        return ready

    def _convert_leaf(self, path: str, value: Any) -> Any:
        if isinstance(value, Enum):
            return self._convert(path, value.value) if isinstance(value.value, _ENUM_VALUES) else value.name
        try:
            ready = to_json_value(value, exact=False)
        except Exception as error:
            # UnstorableError, or any error of a foreign object that is read.
            return self._omit(path, _array_rule(error)) if _has_shape(value) else _as_text(value)
        if isinstance(ready, list) and len(json.dumps(ready)) > TEXT_MAX_BYTES:
            return self._omit(path, _LARGE_ARRAY)
        if isinstance(ready, str):
            # NaN of an array's type becomes a float, as Python's own.
            return FLOATS[ready] if ready in FLOATS and not isinstance(value, str) else escape_surrogates(ready)
        return ready

    def _omit(self, path: str, rule: str) -> Any:
        self._report(path, rule)
        return OMITTED


class _TooLargeError(Exception):
    """Raised within a value of more than VALUE_MAX_LEAVES."""


def _array_rule(error: Exception) -> str:
    return _LARGE_ARRAY if isinstance(error, UnstorableError) else f"reading it raised {type(error).__name__}"


def _has_shape(value: Any) -> bool:
    try:
        return not isinstance(value, type) and bool(value.shape)
    except Exception:
        # No array, or one that was freed.
        return False


def _key(key: Any) -> str:
    try:
        return escape_surrogates(key_text(key))
    except Exception:
        # Foreign objects may raise anything, and Python has no text for an int of 5,000 digits.
        return _as_text(key)


def _as_text(value: Any) -> str:
    try:
        return escape_surrogates(stable_text(value))
    except Exception as error:
        # As for keys: continue in any case.
        return f"<{type(value).__name__}: {type(error).__name__}>"
