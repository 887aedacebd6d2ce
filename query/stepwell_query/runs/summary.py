"""A run's summary: one value for each metric.

This is the last value of every metric, unless `define_metric` requests something else. Values set by hand take
precedence over both. A metric defined with `summary="min,max"` has an object with these: `{"min": 0.1, "max": 2.3}`;
`best` is the min, or the max where the goal is `maximize`; `none` leaves the metric out. It is computed from what is
stored, so a run whose process died has one, too.
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
    """Statistics of one metric: its last value in JSON's types, and `at`, the step and version of that value.

    The others exist for numbers only. All but `first` leave NaN out. `low`, `high` and `first` are floats, or integers
    with all their digits.
    """

    key: str
    kind: Kind
    at: tuple[int, int]
    last: Any
    low: Any = float("nan")
    high: Any = float("nan")
    mean: float = float("nan")
    first: Any = None


def summarize(
    stats: Iterable[SeriesStats],
    definitions: Sequence[Definition],
    by_hand: Mapping[str, Any],
    not_finite: NotFinite = NotFinite.TEXT,
) -> dict[str, Any]:
    """Return the summary in JSON's types: keys in the order of `stats`, then those that were only set by hand."""
    latest: dict[str, SeriesStats] = {}
    for series in stats:
        if series.key not in latest or latest[series.key].at < series.at:
            latest[series.key] = series
    values = {key: _value(series, find_definition(key, definitions), not_finite) for key, series in latest.items()}
    summary = {key: value for key, value in values.items() if value is not LEFT_OUT}
    return summary | {key: stored_value(value, not_finite) for key, value in by_hand.items()}


def _value(series: SeriesStats, definition: Definition, not_finite: NotFinite) -> Any:
    last = json_float(series.last, not_finite) if isinstance(series.last, float) else series.last
    if series.kind is not Kind.NUMBER:
        return LEFT_OUT if "none" in definition.summary else last
    figures = {"min": series.low, "max": series.high, "mean": series.mean, "first": series.first}
    shown = {
        name: json_float(value, not_finite) if isinstance(value, float) else value for name, value in figures.items()
    }
    return definition.summarized({**shown, "last": last}, last)


def stored_value(value: Any, not_finite: NotFinite) -> Any:
    """Return a value of config, or of a summary set by hand, which stores NaN and the infinities as texts."""
    if isinstance(value, str) and not_finite is NotFinite.LITERAL and value in FLOATS:
        return json_float(FLOATS[value], not_finite)
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        return exact_integer(str(value))
    if isinstance(value, dict):
        return {key: stored_value(item, not_finite) for key, item in value.items()}
    return [stored_value(item, not_finite) for item in value] if isinstance(value, list) else value
