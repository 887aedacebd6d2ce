"""The last values that a process keeps for `run.summary`: scalars as they are, other values as their JSON."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from stepwell.recording.metric_tracking import to_python_scalar
from stepwell.values.arrays import restore_value

PLAIN_KINDS: Final = frozenset({"number", "string", "bool"})
"""Kinds whose cells hold the value itself; cells of other kinds hold its JSON."""


class JsonText(NamedTuple):
    """JSON of a logged list, array, None or media value."""

    text: str


def keep_json_value(value: Any) -> Any:
    """Return a value in JSON's types as it is kept."""
    return value if isinstance(value, bool | int | float | str) else JsonText(json.dumps(value))


def to_logged_value(kept: Any) -> Any:
    """Return a kept value as it was logged."""
    return restore_value(json.loads(kept.text)) if isinstance(kept, JsonText) else to_python_scalar(kept)
