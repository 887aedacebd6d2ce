"""What describes a run (name, notes, tags, config, summary), made fit to travel: whole text, JSON's types, bounded.

An event that can't be encoded, or is too large for the broker, would hold up everything logged after it. So whatever a
script hands over is brought into shape here, before it is in the journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell.errors import SettingsError
from stepwell.values.convert import json_ready, whole_text
from stepwell_schemas.limits import SEND_BATCH_BYTES, TEXT_MAX_BYTES

_MAX_DEPTH: Final = 32
_TEXT_RULE: Final = f"must have at most {TEXT_MAX_BYTES:,} bytes"


def text_of(field: str, value: Any) -> str:
    """Return a describing text: None as "", anything else as `str` says. Raises: SettingsError when it is too long."""
    text = "" if value is None else whole_text(str(value))
    if len(text.encode()) > TEXT_MAX_BYTES:
        raise SettingsError(f"{field}: {_TEXT_RULE}")
    return text


def tags_of(values: Any) -> tuple[str, ...]:
    """Return tags: a single text is one tag. Raises: SettingsError when one is too long."""
    given: Iterable[Any] = (values,) if isinstance(values, str) else values or ()
    return tuple(text_of("tag", tag) for tag in given)


def described(value: Any, depth: int = 0) -> Any:
    """Return a value in JSON's types; whatever in it has none is there as its `str`. Raises nothing of its own."""
    if isinstance(value, Mapping) and depth < _MAX_DEPTH:
        return described_mapping(value, depth + 1)
    if isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        return [described(item, depth + 1) for item in value]
    try:
        ready = json_ready(value, exact=False)
    except Exception:
        # UnstorableError, or whatever a foreign object raises when it is read.
        return _as_text(value)
    return whole_text(ready) if isinstance(ready, str) else ready


def described_mapping(values: Mapping[Any, Any], depth: int = 0) -> dict[str, Any]:
    """Return a mapping in JSON's types, its keys as text."""
    return {_as_text(key): described(value, depth) for key, value in values.items()}


def _as_text(value: Any) -> str:
    try:
        return whole_text(str(value))
    except Exception as error:
        # Foreign objects may raise anything, and an int of 5,000 digits has no text: neither may end a training.
        return f"<{type(value).__name__}: {type(error).__name__}>"


def parts_of(values: Mapping[str, Any], refuse: Callable[[str, str], None]) -> list[dict[str, Any]]:
    """Cut a mapping in JSON's types into those that each fit in an event; at least one, which may be empty.

    A value that is too large alone is told to `refuse` (its key, the rule) and left out.
    """
    parts: list[dict[str, Any]] = [{}]
    used = 0
    for key, value in values.items():
        size = len(json.dumps({key: value}))
        if size > TEXT_MAX_BYTES:
            refuse(key, f"{_TEXT_RULE} as JSON")
            continue
        if used + size > SEND_BATCH_BYTES and parts[-1]:
            parts.append({})
            used = 0
        parts[-1][key] = value
        used += size
    return parts
