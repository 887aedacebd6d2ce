"""The last values that a process keeps for `run.summary`: scalars as they are, other values as their JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from stepwell.journal.row_layout import Layout
from stepwell.recording.metric_tracking import to_python_scalar
from stepwell.values.arrays import restore_value

PLAIN_KINDS: Final = frozenset({"number", "string", "bool"})
"""Kinds whose cells hold the value itself; cells of other kinds hold its JSON."""

NumberedValue = tuple[int, Any]
"""A kept value after the number of its record: of two values, that of the higher number is newer."""


class JsonText(NamedTuple):
    """JSON of a logged list, array, None or media value."""

    text: str


def keep_json_value(value: Any) -> Any:
    """Return a value in JSON's types as it is kept."""
    return value if isinstance(value, bool | int | float | str) else JsonText(json.dumps(value))


def to_logged_value(kept: Any) -> Any:
    """Return a kept value as it was logged."""
    return restore_value(json.loads(kept.text)) if isinstance(kept, JsonText) else to_python_scalar(kept)


def newest_values(json_values: Mapping[str, NumberedValue], layouts: Iterable[Layout]) -> dict[str, NumberedValue]:
    """Return each key's newest value: of its rows that were written as JSON, and of those of all layouts.

    Older values come first. Those of one record are in the order of its call, as in `json_values`.
    """
    newest = dict(json_values)
    for layout in layouts:
        for key, value in zip(layout.keys, layout.last_values or (), strict=False):
            if key not in newest or newest[key][0] < layout.newest:
                # At the end: the value of a key keeps no place of an earlier row.
                newest.pop(key, None)
                newest[key] = (layout.newest, value)
    return dict(sorted(newest.items(), key=lambda item: item[1][0]))


def newest_by_name(values: Mapping[str, NumberedValue], name: Callable[[str], str]) -> dict[str, Any]:
    """Return the newest value of the keys that share a name, by name; of one record, the later one of the call."""
    last: dict[str, NumberedValue] = {}
    for key, numbered in values.items():
        shown = name(key)
        if shown not in last or last[shown][0] <= numbered[0]:
            last[shown] = numbered
    return {shown: value for shown, (_, value) in last.items()}
