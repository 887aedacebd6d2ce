"""The rules of the gate: ratios that are worse than the recorded ones, as pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from bench.figure import Figure

TOLERANCE: Final = 0.10
"""The part by which a ratio may be worse than the recorded one."""


class Regression(NamedTuple):
    """A figure that is worse than recorded, by `loss`: 0.25 for a cost that grew, or a rate that sank, by a quarter."""

    name: str
    recorded: float
    measured: float
    loss: float


class Spread(NamedTuple):
    """The ratios of a figure in several runs."""

    name: str
    ratios: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median ratio, which is recorded."""
        return median(self.ratios)

    @property
    def spread(self) -> float:
        """The part by which the ratio furthest from the median differs from it."""
        return max(max(self.ratios) / self.median, self.median / min(self.ratios)) - 1

    @property
    def is_stable(self) -> bool:
        """True if the gate can compare the figure: no ratio differs from the median by more than the tolerance."""
        return self.spread <= TOLERANCE


def find_regressions(figures: Iterable[Figure], recorded: Mapping[str, float]) -> list[Regression]:
    """Return the figures that are worse than recorded by more than the tolerance. Those not recorded are left out."""
    found = []
    for figure in figures:
        if figure.name in recorded:
            loss = _loss(figure, recorded[figure.name])
            if loss > TOLERANCE:
                found.append(Regression(figure.name, recorded[figure.name], figure.ratio, loss))
    return found


def confirm(first: Iterable[Regression], again: Iterable[Regression]) -> list[Regression]:
    """Return the regressions that the second measurement shows too, each with its smaller loss."""
    seconds = {one.name: one for one in again}
    return [min(one, seconds[one.name], key=lambda found: found.loss) for one in first if one.name in seconds]


def find_missing(figures: Iterable[Figure], recorded: Mapping[str, float]) -> list[str]:
    """Return the recorded names that were not measured, as after a figure was renamed."""
    return sorted(set(recorded) - {figure.name for figure in figures})


def find_spreads(runs: Sequence[Sequence[Figure]]) -> list[Spread]:
    """Return the spread of each figure, in the order of the first run. All runs have the same figures."""
    ratios: dict[str, list[float]] = {}
    for figures in runs:
        for figure in figures:
            ratios.setdefault(figure.name, []).append(figure.ratio)
    return [Spread(name, tuple(values)) for name, values in ratios.items()]


def _loss(figure: Figure, recorded: float) -> float:
    return (recorded / figure.ratio if figure.rate else figure.ratio / recorded) - 1
