"""JSON that runs have stored, whatever it is: each answer is strict JSON, and one bad run never hides others. Pure.

Ingestion stores strict JSON. Older rows, and those that other programs have written, may hold anything:

| what is stored | what is served |
|---|---|
| NaN, an infinity, a number beyond float64 | the text `"NaN"`, `"Infinity"`, `"-Infinity"` |
| a lone surrogate, bytes that are no UTF-8 | U+FFFD in its place |
| a value that is no JSON, or nested too deep | its text, as a string |
| a config or summary that is no JSON object | `{}`, with the field's name in the run's `unreadable` |
| metric definitions that are no list; an entry without a name | without them, and `unreadable` |
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
"""The fields of a run that hold JSON."""


def value_text(text: str) -> str:
    """Return the strict JSON of a stored value; of a text that is no JSON, the JSON string."""
    try:
        return strict_json(text)
    except JsonTextError:
        return orjson.dumps(text).decode()


def json_value(text: str) -> orjson.Fragment:
    """Return a stored value so that it is written as strict JSON."""
    return orjson.Fragment(value_text(text))


def json_object(text: str) -> dict[str, Any]:
    """Return a stored JSON object, an empty one where something else is stored."""
    value = _parsed(text or "{}")
    return value if isinstance(value, dict) else {}


def object_fragment(text: str) -> orjson.Fragment:
    """Return a stored JSON object so that it is written as it stands, an empty one where something else is stored."""
    strict = value_text(text or "{}")
    return orjson.Fragment(strict if _is_object(strict) else "{}")


def stored_definitions(text: str) -> list[dict[str, Any]]:
    """Return the entries of a run's metric definitions that name a metric."""
    value = _parsed(text or "[]")
    return [entry for entry in value if _is_definition(entry)] if isinstance(value, list) else []


@lru_cache(maxsize=4_096)
def read_definitions(text: str) -> Sequence[Definition]:
    """Return what `define_metric` was told of a run, in order."""
    return tuple(Definition.read(entry) for entry in stored_definitions(text))


def unreadable(row: Mapping[str, Any]) -> list[str]:
    """Return which of a run's documents can't be served as they are stored: the marker of its answer."""
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
