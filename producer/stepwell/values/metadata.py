"""Metadata of a run (name, notes, tags, config, summary) as valid UTF-8 text and JSON of bounded size.

An event that can't be encoded, or is too large for the broker, would block everything logged after it. So values from
the script are converted and checked here, before they are written to the journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stepwell.errors import SettingsError
from stepwell.terminal import notify
from stepwell.values.convert import escape_surrogates
from stepwell.values.metadata_conversion import OMITTED, MetadataConversion, Report
from stepwell_schemas.limits import SEND_BATCH_BYTES, TEXT_MAX_BYTES
from stepwell_schemas.rules.json_values import FLOATS, float_json
from stepwell_schemas.texts import shorten

_PATH_CHARS: Final = 80
_TEXT_RULE: Final = f"must have at most {TEXT_MAX_BYTES:,} bytes"


def parse_text(field: str, value: Any) -> str:
    """Return a text field: None as "", other objects through `str`. Raises: SettingsError if it is too long."""
    text = "" if value is None else escape_surrogates(str(value))
    if len(text.encode()) > TEXT_MAX_BYTES:
        raise SettingsError(f"{field}: {_TEXT_RULE}")
    return text


def parse_tags(values: Any) -> tuple[str, ...]:
    """Return tags, each once; a single text is one tag, an empty one none. Raises: SettingsError if one is too long."""
    given: Iterable[Any] = (values,) if isinstance(values, str) else values or ()
    return tuple(tag for tag in dict.fromkeys(parse_text("tag", tag) for tag in given) if tag)


def metadata_value(value: Any) -> Any:
    """Return a value in JSON's types, and NaN and ±Inf as they are; see `MetadataConversion`. Never raises."""
    ready = MetadataConversion(_ignore).convert_member("", value)
    return None if ready is OMITTED else ready


def metadata_mapping(values: Mapping[Any, Any], report: Report | None = None) -> dict[str, Any]:
    """Return a mapping in JSON's types, with text keys; see `MetadataConversion`."""
    return MetadataConversion(report or _ignore).convert_mapping(values)


def _ignore(path: str, rule: str) -> None:
    del path, rule


class MetadataReporter:
    """Notifies of parts of config and summary that are not stored, once for each path and rule, unless `quiet`."""

    def __init__(self, label: str, *, quiet: bool = False) -> None:
        self._label = label
        self._quiet = quiet
        self._reported: set[tuple[str, str]] = set()

    def __call__(self, path: str, rule: str) -> None:
        """Report the part at a path, and the reason."""
        if not self._quiet and (path, rule) not in self._reported:
            self._reported.add((path, rule))
            notify(f"{self._label}: {shorten(path, _PATH_CHARS)!r} in config or summary is not stored: {rule}")


def named_floats(value: Any) -> Any:
    """Return converted metadata with the names of NaN and ±Inf in their place, for JSON."""
    if isinstance(value, float):
        return float_json(value)
    if isinstance(value, dict):
        return {key: named_floats(item) for key, item in value.items()}
    return [named_floats(item) for item in value] if isinstance(value, list) else value


def restore_floats(value: Any) -> Any:
    """Return stored metadata with floats in the place of the names of NaN and ±Inf: the inverse of `named_floats`.

    A text that is one of these names becomes a float, too: metadata doesn't distinguish them.
    """
    if isinstance(value, str):
        return FLOATS.get(value, value)
    if isinstance(value, dict):
        return {key: restore_floats(item) for key, item in value.items()}
    return [restore_floats(item) for item in value] if isinstance(value, list) else value


def split_mapping(values: Mapping[str, Any], reject: Callable[[str, str], None]) -> list[dict[str, Any]]:
    """Split converted metadata into parts in JSON's types that each fit in an event; at least one, which may be empty.

    A single value that is too large is reported to `reject` (its key, the rule) and left out.
    """
    parts: list[dict[str, Any]] = [{}]
    used = 0
    for key, given in values.items():
        value = named_floats(given)
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
