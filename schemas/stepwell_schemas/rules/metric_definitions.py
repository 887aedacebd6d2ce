"""What `define_metric` says of metrics, and which definition holds for a key: one rule for the SDK and the service.

A key's own definition goes before a pattern's; of several patterns that match, the one defined last holds, and a
definition that is made again takes the place of the earlier one. Names match whatever their case, as keys do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from stepwell_schemas.rules.keys import fold_key

SUMMARY_RULES: Final = ("min", "max", "mean", "best", "first", "last", "copy", "none")
"""What a summary may hold: `copy` is the plain last value, `none` leaves the metric out."""

GOALS: Final = ("minimize", "maximize")
LEFT_OUT: Final = object()
"""Stands for the summary of a metric that has none."""

_INTERNAL: Final = "_"


class Definition(NamedTuple):
    """What `define_metric` was told of a metric; a `name` with `*` stands for many keys.

    Attributes:
        step_metric: the key it is drawn against. summary: of SUMMARY_RULES. goal: of GOALS, for `best`.
        hidden: whether pages leave it out of their automatic panels.
        step_sync: whether the SDK adds the step metric's newest value to rows that lack it; None: not said.
    """

    name: str
    step_metric: str | None = None
    summary: tuple[str, ...] = ()
    goal: str | None = None
    hidden: bool = False
    step_sync: bool | None = None

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Definition:
        """Return a definition of what is stored of it; rules that are not known are left out."""
        texts = {name: value for name, value in stored.items() if isinstance(value, str)}
        rules = [rule.strip() for rule in texts.get("summary", "").split(",")]
        return cls(
            name=texts.get("name", ""),
            step_metric=texts.get("step_metric") or None,
            summary=tuple(rule for rule in rules if rule in SUMMARY_RULES),
            goal=texts.get("goal") or None,
            hidden=bool(stored.get("hidden")),
        )

    @property
    def glob(self) -> bool:
        """Whether the name stands for many keys."""
        return "*" in self.name

    def matches(self, key: str) -> bool:
        """Whether the definition is about `key`; no pattern is about keys that begin with `_` (as in wandb)."""
        if not self.glob:
            return fold_key(key) == fold_key(self.name)
        return not key.startswith(_INTERNAL) and _fits(fold_key(key), fold_key(self.name).split("*"))

    def summarized(self, figures: Mapping[str, Any], last: Any) -> Any:
        """Return a number's summary: its last value, or an object with the figures that the rules name, or LEFT_OUT.

        `figures` has `min`, `max`, `mean`, `first` and `last`.
        """
        if "none" in self.summary:
            return LEFT_OUT
        wanted = set(self.summary) - {"copy"}
        if not wanted:
            return last
        best = figures["max" if (self.goal or "").startswith("max") else "min"]
        known = {**figures, "best": best}
        return {rule: known[rule] for rule in SUMMARY_RULES if rule in wanted}


def definition_of(key: str, definitions: Iterable[Definition]) -> Definition:
    """Return the definition that holds for a key, of all in the order they were made; an empty one when none does."""
    found = None
    for definition in definitions:
        if definition.matches(key) and (found is None or found.glob or not definition.glob):
            found = definition
    return found or Definition(key)


def _fits(key: str, parts: list[str]) -> bool:
    """Tell if a key is made of these parts, two at least, in order with anything between them.

    As a regular expression, a name with many `*` would take exponential time.
    """
    first, *middle, last = parts
    if len(key) < len(first) + len(last) or not key.startswith(first) or not key.endswith(last):
        return False
    at, end = len(first), len(key) - len(last)
    for part in middle:
        found = key.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
