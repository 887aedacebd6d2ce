"""A run's summary: one value for each metric. Pure.

The last value of every metric holds, unless `define_metric` says otherwise, and values that were set by hand hold
over both. A metric defined with `summary="min,max"` has an object with these: `{"min": 0.1, "max": 2.3}`; `best`
is the min, or the max where the goal is `maximize`; `none` leaves the metric out. It is made of what is stored, so a
run whose process died has one too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stepwell_query.encoding import NotFinite, exact_integer, json_float
from stepwell_schemas.rules.json_values import FLOATS
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.metric_definitions import LEFT_OUT, Definition, find_definition

_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class SeriesStats:
    """What is known of one metric's values; `last` as JSON takes it, `at` (step, version) of that value.

    The others are of numbers only, NaN left out of all but `first`.
    """

    key: str
    kind: Kind
    at: tuple[int, int]
    last: Any
    low: float = float("nan")
    high: float = float("nan")
    mean: float = float("nan")
    first: float | None = None


def summarize(
    stats: Iterable[SeriesStats],
    definitions: Sequence[Definition],
    by_hand: Mapping[str, Any],
    odd: NotFinite = NotFinite.TEXT,
) -> dict[str, Any]:
    """Return the summary as JSON takes it, keys in the order of `stats`, then those set by hand alone."""
    latest: dict[str, SeriesStats] = {}
    for series in stats:
        if series.key not in latest or latest[series.key].at < series.at:
            latest[series.key] = series
    values = {key: _value(series, find_definition(key, definitions), odd) for key, series in latest.items()}
    summary = {key: value for key, value in values.items() if value is not LEFT_OUT}
    return summary | {key: stored_value(value, odd) for key, value in by_hand.items()}


def _value(series: SeriesStats, definition: Definition, odd: NotFinite) -> Any:
    last = json_float(series.last, odd) if isinstance(series.last, float) else series.last
    if series.kind is not Kind.NUMBER:
        return LEFT_OUT if "none" in definition.summary else last
    figures = {"min": series.low, "max": series.high, "mean": series.mean, "first": series.first}
    shown = {name: json_float(value, odd) if isinstance(value, float) else value for name, value in figures.items()}
    return definition.summarized({**shown, "last": last}, last)


def stored_value(value: Any, odd: NotFinite) -> Any:
    """Return a value of config, or of a summary set by hand; its floats that JSON does not have are stored as texts."""
    if isinstance(value, str) and odd is NotFinite.LITERAL and value in FLOATS:
        return json_float(FLOATS[value], odd)
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return exact_integer(str(value))
    if isinstance(value, dict):
        return {key: stored_value(item, odd) for key, item in value.items()}
    return [stored_value(item, odd) for item in value] if isinstance(value, list) else value
