"""The curves that a notebook draws of a run while it is logged: bounded copies of the values of its first metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stepwell.recording.metric_tracking import is_number, to_python_scalar
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import as_float

CURVES_AT_MOST: Final = 6
POINTS_AT_MOST: Final = 400

_INTERNAL: Final = "_"


class Curve:
    """The values of one metric: all of the first ones, then every second, every fourth, and so on.

    Attributes:
        key: the metric. points: pairs of step and value, NaN included.
    """

    def __init__(self, key: str, step: Callable[[], int]) -> None:
        self.key = key
        self.points: list[tuple[int, float]] = []
        self._step = step
        self._stride = 1
        self._seen = 0

    def add(self, value: Any) -> None:
        """Add a value; only numbers count."""
        self._seen += 1
        if (self._seen - 1) % self._stride:
            return
        value = to_python_scalar(value)
        if not is_number(value):
            return
        self.points.append((self._step(), as_float(value) if isinstance(value, int) else value))
        if len(self.points) >= POINTS_AT_MOST:
            self.points = self.points[::2]
            self._stride *= 2


class Curves:
    """The curves of the first metrics of a run."""

    def __init__(self, step: Callable[[], int]) -> None:
        self._step = step
        self._curves: dict[str, Curve] = {}

    def curve(self, key: str) -> Curve | None:
        """Return the curve of a key; None for keys beyond the first ones, and for internal ones."""
        folded = fold_key(key)
        if folded not in self._curves and (len(self._curves) >= CURVES_AT_MOST or key.startswith(_INTERNAL)):
            return None
        return self._curves.setdefault(folded, Curve(key, self._step))

    def all(self) -> list[Curve]:
        """Return the curves that have values."""
        return [curve for curve in list(self._curves.values()) if curve.points]
