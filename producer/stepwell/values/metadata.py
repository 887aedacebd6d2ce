"""Metadata of a run (name, notes, tags, config, summary) as valid UTF-8 text and JSON of bounded size.

An event that can't be encoded, or is too large for the broker, would block everything logged after it. So values from
the script are converted and checked here, before they are written to the journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell.errors import SettingsError
from stepwell.values.convert import escape_surrogates, to_json_value
from stepwell_schemas.limits import SEND_BATCH_BYTES, TEXT_MAX_BYTES

_MAX_DEPTH: Final = 32
_TEXT_RULE: Final = f"must have at most {TEXT_MAX_BYTES:,} bytes"


def parse_text(field: str, value: Any) -> str:
    """Return a text field: None as "", other objects through `str`. Raises: SettingsError if it is too long."""
    text = "" if value is None else escape_surrogates(str(value))
    if len(text.encode()) > TEXT_MAX_BYTES:
        raise SettingsError(f"{field}: {_TEXT_RULE}")
    return text


def parse_tags(values: Any) -> tuple[str, ...]:
    """Return tags; a single text is one tag. Raises: SettingsError if one is too long."""
    given: Iterable[Any] = (values,) if isinstance(values, str) else values or ()
    return tuple(parse_text("tag", tag) for tag in given)


def metadata_value(value: Any, depth: int = 0) -> Any:
    """Return a value in JSON's types; parts without a JSON form become their `str`. Never raises."""
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return metadata_mapping(value, depth + 1)
    if isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        return [metadata_value(item, depth + 1) for item in value]
    try:
        ready = to_json_value(value, exact=False)
    except Exception:
        # UnstorableError, or any error of a foreign object that is read.
        return _as_text(value)
    return escape_surrogates(ready) if isinstance(ready, str) else ready


def metadata_mapping(values: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """Return a mapping in JSON's types, with text keys."""
    return {_as_text(key): metadata_value(value, depth) for key, value in values.items()}


def _as_text(value: Any) -> str:
    try:
        return escape_surrogates(str(value))
    except Exception as error:
        # Foreign objects may raise anything, and Python has no text for an int of 5,000 digits: continue in any case.
        return f"<{type(value).__name__}: {type(error).__name__}>"


def split_mapping(values: Mapping[str, Any], reject: Callable[[str, str], None]) -> list[dict[str, Any]]:
    """Split a mapping in JSON's types into parts that each fit in an event; at least one, which may be empty.

    A single value that is too large is reported to `reject` (its key, the rule) and left out.
    """
    parts: list[dict[str, Any]] = [{}]
    used = 0
    for key, value in values.items():
        size = len(json.dumps({key: value}))
        if size > TEXT_MAX_BYTES:
            reject(key, f"{_TEXT_RULE} as JSON")
            continue
        if used + size > SEND_BATCH_BYTES and parts[-1]:
            parts.append({})
            used = 0
        parts[-1][key] = value
        used += size
    return parts
