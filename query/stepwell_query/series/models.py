"""What a request for series is made of, and what its answer holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell_query.catalog.models import Progress, SeriesInfo
from stepwell_query.series.math.bucketing import BucketPlan
from stepwell_query.series.math.buckets import Buckets, Float64s, means
from stepwell_schemas.rules.identifiers import RunPath

POINTS_MAX: Final = 10_000
"""Points of one series in one answer; a screen has fewer pixels, and exports have `scan`."""


class Sampling(StrEnum):
    """How a series becomes few points: see docs/sampling.md."""

    BUCKETS = "buckets"
    LTTB = "lttb"
    RANDOM = "random"
    RAW = "raw"


class Axis(StrEnum):
    """What may lie on the x axis besides a metric."""

    STEP = "_step"
    TIMESTAMP = "_timestamp"
    RUNTIME = "_runtime"


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """What is asked of each run: at most `points` points for each key, from step `low` to `high`, both included.

    `x` is one of `Axis`, or the key of a number: then the points are those at whose step it was logged too. None stands
    for each metric's own: what `define_metric` names, where the run logged that as a number, else the step.
    `smoothing` is the weight of the exponential moving average, from 0 (none) up to 1, not included: that of a row, or
    of one of `smoothing_parts` even parts of the whole series.
    """

    keys: Sequence[str]
    points: int = 1_000
    low: int | None = None
    high: int | None = None
    x: str | None = None
    sampling: Sampling = Sampling.BUCKETS
    seed: int = 0
    smoothing: float = 0.0
    smoothing_parts: int | None = None


@dataclass(frozen=True, slots=True)
class Points:
    """n points in columns, ascending by x: x float64[n] or int64[n]; the rest as `math/buckets.py` says."""

    x: NDArray[Any]
    buckets: Buckets

    @property
    def mean(self) -> Float64s:
        """The mean of each point's finite values; its value where it has none."""
        return means(self.buckets)


@dataclass(frozen=True, slots=True)
class Smoothed:
    """float64[n]: the moving average as of each point's step, made of buckets of `width` steps; 1: of the rows."""

    values: Float64s
    width: int


@dataclass(frozen=True, slots=True)
class SeriesView:
    """One series as it will be drawn over `x`; `info` has the extents of the whole series, `plan` those of the view.

    `sampling` says how it was sampled: RAW where the points are all rows there are. `count` is the rows that the view
    stands for, `nans` how many of them are NaN. `x_width` is the width of buckets that were cut on the x axis.
    """

    x: str
    info: SeriesInfo
    plan: BucketPlan
    points: Points
    sampling: Sampling
    count: int
    nans: int
    x_width: float | None = None
    smoothed: Smoothed | None = None


@dataclass(frozen=True, slots=True)
class RunSeries:
    """The answer for one run; `undrawn` are metrics of the asked keys that are neither number nor bool."""

    run: RunPath
    request: SeriesRequest
    views: list[SeriesView]
    undrawn: list[SeriesInfo]
    unknown: list[str]
    progress: Progress


def empty_points() -> Points:
    """Return no points."""
    return Points(np.empty(0, np.float64), Buckets.empty())
