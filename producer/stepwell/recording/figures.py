"""Figures of the numbers of one metric: what `define_metric` summarizes. They can be combined over sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from stepwell_schemas.rules.metric_definitions import LEFT_OUT, Definition

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAN: Final = float("nan")


class Figures(NamedTuple):
    """Minimum, maximum, first and last of numbers, and what gives their mean; NaN counts for first and last alone.

    Attributes:
        low, high: NaN if there is no number. first, last: LEFT_OUT if there is no value.
        numbers, total: the number of values that are not NaN, and their sum.
    """

    low: Any = _NAN
    high: Any = _NAN
    first: Any = LEFT_OUT
    last: Any = LEFT_OUT
    numbers: int = 0
    total: float = 0.0

    def then(self, later: Figures) -> Self:
        """Return the figures of these numbers followed by others."""
        return type(self)(
            low=_choose(min, self.low, later.low),
            high=_choose(max, self.high, later.high),
            first=later.first if self.first is LEFT_OUT else self.first,
            last=self.last if later.last is LEFT_OUT else later.last,
            numbers=self.numbers + later.numbers,
            total=self.total + later.total,
        )


NO_FIGURES: Final = Figures()


def array_figures(values: NDArray[Any]) -> Figures:
    """Return the figures of an array of numbers, which is not empty."""
    numbers = values[values == values]
    first, last = values[0].item(), values[-1].item()
    if not len(numbers):
        return Figures(first=first, last=last)
    # As float64, since a sum of integers could pass 64 bits.
    total = float(numbers.astype("<f8").sum())
    return Figures(numbers.min().item(), numbers.max().item(), first, last, len(numbers), total)


def stored_figures(summary: Any, definition: Definition, count: int, mean: float) -> Figures | None:
    """Return the figures that a metric's stored summary tells; None if it is not the object that its rules give.

    Args:
        summary: the summary as the service has it, such as `{"min": 0.1, "max": 2.3}`.
        count, mean: number and mean of the stored values that are not NaN; 0 and NaN if they are not known.
    """
    rules = set(definition.summary) - {"copy"}
    if not rules or not isinstance(summary, Mapping) or set(summary) != rules:
        return None
    best = "high" if (definition.goal or "").startswith("max") else "low"
    fields = {"min": "low", "max": "high", "best": best, "first": "first", "last": "last"}
    known = {fields[rule]: value for rule, value in summary.items() if rule in fields}
    # A metric of which nothing but its extremes is stored still has a last number.
    known.setdefault("last", next(iter(summary.values())))
    return Figures(**known)._replace(numbers=count, total=mean * count if count else 0.0)


def _choose(better: Any, earlier: Any, later: Any) -> Any:
    if earlier != earlier:
        return later
    return earlier if later != later else better(earlier, later)
