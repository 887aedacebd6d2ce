"""A run's summary: one value for each metric. Pure.

The last value of every metric holds, unless `define_metric` says otherwise, and values that were set by hand hold
over both. A metric defined with `summary="min,max"` has an object with these: `{"min": 0.1, "max": 2.3}`; `best`
is the min, or the max where the goal is `maximize`; `none` leaves the metric out (all as in wandb).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from stepwell_query.encode import json_float
from stepwell_schemas.keys import fold_key
from stepwell_schemas.kinds import Kind

_PLAIN: Final = frozenset({"last", "copy"})


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


def rules_of(key: str, definitions: Iterable[Mapping[str, Any]]) -> tuple[frozenset[str], str]:
    """Return the summary rules that hold for a key, and its goal; a definition by name holds over one by pattern."""
    folded = fold_key(key)
    chosen: Mapping[str, Any] = {}
    for definition in definitions:
        name = fold_key(str(definition.get("name", "")))
        if not definition.get("glob"):
            if name == folded:
                chosen = definition
                break
        elif not chosen and fnmatchcase(folded, _pattern(name)):
            chosen = definition
    rules = {part.strip() for part in (chosen.get("summary") or "").split(",")} - {""}
    return frozenset(rules), chosen.get("goal") or "minimize"


def summarize(
    stats: Iterable[SeriesStats], definitions: list[Mapping[str, Any]], by_hand: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the summary, keys in the order of `stats`, then those set by hand alone."""
    latest: dict[str, SeriesStats] = {}
    for series in stats:
        if series.key not in latest or latest[series.key].at < series.at:
            latest[series.key] = series
    summary = {}
    for key, series in latest.items():
        rules, goal = rules_of(key, definitions)
        if "none" not in rules:
            summary[key] = _value(series, rules, goal)
    return summary | dict(by_hand)


def _value(series: SeriesStats, rules: frozenset[str], goal: str) -> Any:
    if rules <= _PLAIN or series.kind is not Kind.NUMBER:
        return series.last
    values = {
        "min": series.low,
        "max": series.high,
        "mean": series.mean,
        "best": series.high if goal.startswith("max") else series.low,
        "first": series.first,
        "last": series.last,
    }
    return {
        name: json_float(value) if isinstance(value, float) else value
        for name, value in values.items()
        if name in rules
    }


def _pattern(name: str) -> str:
    """Return the pattern with `*` as its only special character."""
    return name.replace("[", "[[]").replace("?", "[?]")
