"""Tracking of metrics that `define_metric` names: their summaries, and the newest values of step metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from stepwell.recording.figures import NO_FIGURES, Figures
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import as_float
from stepwell_schemas.rules.metric_definitions import LEFT_OUT, Definition, find_definition

_NAN: Final = float("nan")


class ValueObserver(Protocol):
    """Receives the values of one key as they are logged."""

    def add(self, value: Any) -> None:
        """Add a value."""


class SummaryTracker:
    """Running minimum, maximum, mean, first and last of one key's numbers; the first three ignore NaN."""

    def __init__(self, definition: Definition, known: Figures = NO_FIGURES) -> None:
        """Begin with the figures of earlier sessions."""
        self.definition = definition
        self._low, self._high, self._first, self._last, self._count, self._total = known

    @property
    def seen(self) -> bool:
        """Return whether there is a value."""
        return self._last is not LEFT_OUT

    @property
    def figures(self) -> Figures:
        """The figures of the numbers so far."""
        last = self._last if is_number(self._last) else LEFT_OUT
        return Figures(self._low, self._high, self._first, last, self._count, self._total)

    def merge(self, later: Figures) -> None:
        """Add the figures of numbers that came after the ones so far."""
        self._low, self._high, self._first, self._last, self._count, self._total = self.figures.then(later)

    def add(self, value: Any) -> None:
        """Add a value."""
        self._last = value = to_python_scalar(value)
        if not is_number(value):
            return
        self._first = value if self._first is LEFT_OUT else self._first
        if value != value:
            return
        # Negated: where there was no number yet there is NaN, which is neither less nor greater.
        if not value >= self._low:
            self._low = value
        if not value <= self._high:
            self._high = value
        self._count += 1
        self._total += as_float(value) if isinstance(value, int) else value

    def result(self) -> Any:
        """Return the summary that the definition requests, LEFT_OUT for none; a non-number is its own summary."""
        if not is_number(self._last):
            return LEFT_OUT if "none" in self.definition.summary else self._last
        mean = self._total / self._count if self._count else _NAN
        figures = {"min": self._low, "max": self._high, "mean": mean, "first": self._first, "last": self._last}
        return self.definition.summarized(figures, self._last)


class StepMetric:
    """The newest value of a key that other metrics are drawn against; None before it is logged."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.value: Any = None

    def add(self, value: Any) -> None:
        """Add a value; only numbers count."""
        value = to_python_scalar(value)
        if is_number(value):
            self.value = value


class MetricTracker:
    """The metric definitions of a run, in order of definition, and what they observe.

    Attributes:
        find_observer: returns a further observer of a key, or None.
    """

    def __init__(self) -> None:
        self._definitions: dict[str, Definition] = {}
        self._definition_by_key: dict[str, Definition] = {}
        self._summaries: dict[str, SummaryTracker] = {}
        self._step_metrics: dict[str, StepMetric] = {}
        self.find_observer: Callable[[str], ValueObserver | None] | None = None

    def __bool__(self) -> bool:
        return bool(self._definitions) or self.find_observer is not None

    def restore(self, figures: Mapping[str, Figures]) -> None:
        """Begin with the figures of earlier sessions, by key; those that no definition requests are dropped."""
        for key, known in figures.items():
            definition = self._definition(key)
            if definition.summary:
                self._summaries[fold_key(key)] = SummaryTracker(definition, known)

    def define(self, definition: Definition) -> None:
        """Add a definition, or replace the one of the same name."""
        self._definitions.pop(definition.name, None)
        self._definitions[definition.name] = definition
        self._definition_by_key.clear()
        if definition.step_metric:
            self._step_metrics.setdefault(fold_key(definition.step_metric), StepMetric(definition.step_metric))

    def observers(self, key: str) -> list[ValueObserver]:
        """Return the observers of a key."""
        folded = fold_key(key)
        others: list[ValueObserver] = [self._step_metrics[folded]] if folded in self._step_metrics else []
        if self.find_observer is not None and (further := self.find_observer(key)) is not None:
            others.append(further)
        definition = self._definition(key)
        if not definition.summary:
            self._summaries.pop(folded, None)
            return others
        summary = self._summaries.get(folded)
        if summary is None:
            summary = self._summaries[folded] = SummaryTracker(definition)
        summary.definition = definition
        return [*others, summary]

    def indexed_observers(self, keys: Iterable[str]) -> tuple[tuple[int, ValueObserver], ...]:
        """Return the observers of a row's keys, each with the index of its key."""
        if not self:
            return ()
        return tuple((index, observer) for index, key in enumerate(keys) for observer in self.observers(key))

    def missing_step_metrics(self, keys: Iterable[str]) -> tuple[StepMetric, ...]:
        """Return the step metrics to add to a row of these keys, which lacks them."""
        if not self._step_metrics:
            return ()
        names = list(keys)
        definitions = (self._definition(key) for key in names)
        needed = {
            fold_key(each.step_metric) for each in definitions if each.step_metric and each.step_sync is not False
        }
        return tuple(self._step_metrics[folded] for folded in sorted(needed - {fold_key(key) for key in names}))

    def summary(self, key: str, last: Any) -> Any:
        """Return a key's summary, given its last value; LEFT_OUT if it has none."""
        tracked = self._summaries.get(fold_key(key))
        if tracked is not None and tracked.seen:
            # A definition that came after the key's last row applies, too.
            tracked.definition = self._definition(key)
            return tracked.result()
        # Logged before it was defined: the figures of those values are unknown here, and known to the service.
        return LEFT_OUT if "none" in self._definition(key).summary else last

    def _definition(self, key: str) -> Definition:
        if key not in self._definition_by_key:
            self._definition_by_key[key] = find_definition(key, self._definitions.values())
        return self._definition_by_key[key]


def with_step_metrics(data: Mapping[str, Any], missing: Iterable[StepMetric]) -> dict[str, Any]:
    """Return a row with the newest values of its missing step metrics, if they were logged."""
    return {**data, **{axis.key: axis.value for axis in missing if axis.value is not None}}


def is_number(value: Any) -> bool:
    """Return whether a plain value is stored as a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def to_python_scalar(value: Any) -> Any:
    """Return a numpy scalar as a Python one; types wider than float64 are rounded to it. Arrays stay arrays."""
    if not hasattr(value, "item") or getattr(value, "ndim", None):
        return value
    item = value.item()
    return float(item) if hasattr(item, "item") else item
