"""Stored JSON of runs, converted to strict JSON, so that one malformed run never makes the answer about others fail.

Ingestion stores strict JSON. Older rows, and rows that other programs have written, may contain any text:

| stored | served |
|---|---|
| NaN, an infinity, a number beyond float64 | the text `"NaN"`, `"Infinity"`, `"-Infinity"` |
| a lone surrogate, or bytes that are not UTF-8 | U+FFFD |
| a value that is not JSON, or nested too deeply | its text, as a string |
| a config or summary that is not a JSON object | `{}`, with the field's name in the run's `unreadable` |
| metric definitions that are not a list; an entry without a name | without them, and `unreadable` |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import orjson

from stepwell_schemas.rules.json_text import JsonTextError, strict_json
from stepwell_schemas.rules.metric_definitions import Definition

DOCUMENTS: Final = ("config", "summary", "metric_definitions")
"""The fields of a run that contain JSON."""


def value_text(text: str) -> str:
    """Return a stored value as strict JSON; a text that is not JSON becomes a JSON string."""
    try:
        return strict_json(text)
    except JsonTextError:
        return orjson.dumps(text).decode()


def json_value(text: str) -> orjson.Fragment:
    """Return a stored value as a fragment of strict JSON."""
    return orjson.Fragment(value_text(text))


def json_object(text: str) -> dict[str, Any]:
    """Return a stored JSON object, or an empty one if the text is not an object."""
    value = _parsed(text or "{}")
    return value if isinstance(value, dict) else {}


def object_fragment(text: str) -> orjson.Fragment:
    """Return a stored JSON object as a fragment with its own text, or an empty one if the text is not an object."""
    strict = value_text(text or "{}")
    return orjson.Fragment(strict if _is_object(strict) else "{}")


def stored_definitions(text: str) -> list[dict[str, Any]]:
    """Return the valid entries of a run's metric definitions."""
    value = _parsed(text or "[]")
    return [entry for entry in value if _is_definition(entry)] if isinstance(value, list) else []


@lru_cache(maxsize=4_096)
def read_definitions(text: str) -> Sequence[Definition]:
    """Return the arguments of a run's calls of `define_metric`, in order."""
    return tuple(Definition.read(entry) for entry in stored_definitions(text))


def unreadable(row: Mapping[str, Any]) -> list[str]:
    """Return the names of a run's documents that can't be served as stored, for the field `unreadable`."""
    config, summary = (_is_object(value_text(row[name] or "{}")) for name in DOCUMENTS[:2])
    readable = config, summary, _are_definitions(row["metric_definitions"])
    return [name for name, readable in zip(DOCUMENTS, readable, strict=True) if not readable]


def _parsed(text: str) -> Any:
    try:
        return json.loads(strict_json(text))
    except JsonTextError:
        return None


def _is_object(strict: str) -> bool:
    return strict.lstrip()[:1] == "{"


def _is_definition(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and value["name"] != ""


def _are_definitions(text: str) -> bool:
    value = _parsed(text or "[]")
    return isinstance(value, list) and all(map(_is_definition, value))
