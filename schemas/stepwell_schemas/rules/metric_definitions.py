"""Metric definitions (`define_metric`) and the rule that selects the definition of a key, for the SDK and the service.

A definition of the exact key takes precedence over patterns; of several matching patterns, the last one defined is
used. A repeated definition replaces the earlier one. Names are compared like keys, without regard to case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell_schemas.rules.keys import fold_key

SUMMARY_RULES: Final = ("min", "max", "mean", "best", "first", "last", "copy", "none")
"""Valid entries of a summary: `copy` is the last value, `none` omits the metric."""

_FIGURES: Final = frozenset(SUMMARY_RULES) - {"copy", "none"}
GOALS: Final = ("minimize", "maximize")
LEFT_OUT: Final = object()
"""The summary of a metric that is omitted."""

_INTERNAL: Final = "_"


class Definition(NamedTuple):
    """The definition of a metric by `define_metric`; a `name` with `*` is a pattern.

    Attributes:
        step_metric: the key of the x axis. summary: of SUMMARY_RULES. goal: of GOALS, for `best`.
        hidden: True if pages omit it from their automatic panels.
        step_sync: True if the SDK adds the step metric's newest value to rows without it; None if unset.
    """

    name: str
    step_metric: str | None = None
    summary: tuple[str, ...] = ()
    goal: str | None = None
    hidden: bool = False
    step_sync: bool | None = None

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Definition:
        """Parse a stored definition; unknown summary rules are ignored."""
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
        """True if the name is a pattern."""
        return "*" in self.name

    def matches(self, key: str) -> bool:
        """Check if the definition applies to `key`; patterns don't match keys that begin with `_`, as in wandb."""
        if not self.glob:
            return fold_key(key) == fold_key(self.name)
        return not key.startswith(_INTERNAL) and _fits(fold_key(key), fold_key(self.name).split("*"))

    def summarized(self, figures: Mapping[str, Any], last: Any) -> Any:
        """Return the summary of a number: its last value, an object with the figures named by the rules, or LEFT_OUT.

        `figures` has `min`, `max`, `mean`, `first` and `last`.
        """
        if "none" in self.summary:
            return LEFT_OUT
        rules = set(self.summary) - {"copy"}
        if not rules:
            return last
        best = figures["max" if (self.goal or "").startswith("max") else "min"]
        known = {**figures, "best": best}
        return {rule: known[rule] for rule in SUMMARY_RULES if rule in rules}


def merge_rules(before: Sequence[str], rules: Sequence[str]) -> tuple[str, ...]:
    """Return the summary rules after another call for the same name: the figures of both, in the order of the calls.

    `copy` and `none` are no figures: alone they replace the rules before, and figures replace them.
    """
    if not rules or not _FIGURES & set(rules):
        return tuple(rules or before)
    kept = (rule for rule in before if rule in _FIGURES)
    return tuple(dict.fromkeys((*kept, *rules)))


def find_definition(key: str, definitions: Iterable[Definition]) -> Definition:
    """Return the definition of a key, given all definitions in order; an empty one if none applies."""
    found = None
    for definition in definitions:
        if definition.matches(key) and (found is None or found.glob or not definition.glob):
            found = definition
    return found or Definition(key)


def _fits(key: str, parts: list[str]) -> bool:
    """Return True if a key consists of these parts (at least two) in order, with any text between them.

    A regular expression could take exponential time for a name with many `*`.
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
