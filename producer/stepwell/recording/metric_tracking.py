"""What `define_metric` asked for, and what is kept for it while rows are written: summaries, newest step values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import as_float
from stepwell_schemas.rules.metric_definitions import LEFT_OUT, Definition, definition_of

_NAN: Final = float("nan")


class Follower(Protocol):
    """Takes the values of one key as they are logged."""

    def add(self, value: Any) -> None:
        """Take one more value."""


class Followed:
    """The running minimum, maximum, mean, first and last of one key's numbers (NaN left out of the first three)."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self._last: Any = None
        self._first: Any = LEFT_OUT
        self._low: Any = _NAN
        self._high: Any = _NAN
        self._count = 0
        self._total = 0.0

    def add(self, value: Any) -> None:
        """Take one more value."""
        self._last = value = plain_scalar(value)
        if not is_number(value):
            return
        self._first = value if self._first is LEFT_OUT else self._first
        if value != value:
            return
        self._low = value if not self._count or value < self._low else self._low
        self._high = value if not self._count or value > self._high else self._high
        self._count += 1
        self._total += as_float(value) if isinstance(value, int) else value

    def result(self) -> Any:
        """Return what the definition asks for, LEFT_OUT for nothing; a value that is no number is its own summary."""
        if not is_number(self._last):
            return LEFT_OUT if "none" in self.definition.summary else self._last
        mean = self._total / self._count if self._count else _NAN
        figures = {"min": self._low, "max": self._high, "mean": mean, "first": self._first, "last": self._last}
        return self.definition.summarized(figures, self._last)


class StepMetric:
    """The newest value of a key that others are drawn against; None while it was not logged."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.value: Any = None

    def add(self, value: Any) -> None:
        """Take one more value."""
        value = plain_scalar(value)
        if is_number(value):
            self.value = value


class Defined:
    """The definitions of a run, in the order they were made."""

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}
        self._chosen: dict[str, Definition] = {}
        self._followed: dict[str, Followed] = {}
        self._step_metrics: dict[str, StepMetric] = {}

    def __bool__(self) -> bool:
        return bool(self._definitions)

    def define(self, definition: Definition) -> None:
        """Let a definition hold from now on."""
        self._definitions.pop(definition.name, None)
        self._definitions[definition.name] = definition
        self._chosen.clear()
        if definition.step_metric:
            self._step_metrics.setdefault(fold_key(definition.step_metric), StepMetric(definition.step_metric))

    def followers(self, key: str) -> list[Follower]:
        """Return what takes the values of a key."""
        folded = fold_key(key)
        found: list[Follower] = [self._step_metrics[folded]] if folded in self._step_metrics else []
        definition = self._definition(key)
        if not definition.summary:
            self._followed.pop(folded, None)
            return found
        known = self._followed.get(folded)
        if known is None:
            known = self._followed[folded] = Followed(definition)
        known.definition = definition
        return [*found, known]

    def places(self, keys: Iterable[str]) -> tuple[tuple[int, Follower], ...]:
        """Return what takes the values of a row's keys, each with the place of its key."""
        if not self._definitions:
            return ()
        return tuple((place, follower) for place, key in enumerate(keys) for follower in self.followers(key))

    def missing(self, keys: Iterable[str]) -> tuple[StepMetric, ...]:
        """Return the step metrics that a row of these keys lacks and is to have."""
        if not self._step_metrics:
            return ()
        names = list(keys)
        definitions = (self._definition(key) for key in names)
        wanted = {fold_key(one.step_metric) for one in definitions if one.step_metric and one.step_sync is not False}
        return tuple(self._step_metrics[folded] for folded in sorted(wanted - {fold_key(key) for key in names}))

    def summary(self, key: str, last: Any) -> Any:
        """Return a key's summary, given its last value; LEFT_OUT when it has none."""
        followed = self._followed.get(fold_key(key))
        return last if followed is None else followed.result()

    def _definition(self, key: str) -> Definition:
        if key not in self._chosen:
            self._chosen[key] = definition_of(key, self._definitions.values())
        return self._chosen[key]


def with_step_metrics(data: Mapping[str, Any], missing: Iterable[StepMetric]) -> dict[str, Any]:
    """Return a row with the newest values of the step metrics that it lacks, as far as they were logged."""
    return {**data, **{axis.key: axis.value for axis in missing if axis.value is not None}}


def is_number(value: Any) -> bool:
    """Whether a plain value is stored as a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def plain_scalar(value: Any) -> Any:
    """Return a scalar of numpy as Python's own; of more digits than float64 has, the nearest one."""
    if not hasattr(value, "item"):
        return value
    item = value.item()
    return float(item) if hasattr(item, "item") else item
