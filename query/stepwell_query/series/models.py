"""Requests for series, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell_query.catalog.models import Progress, SeriesInfo
from stepwell_query.catalog.writers import PRIMARY, WriterSelection
from stepwell_query.series.math.bucketing import BucketPlan
from stepwell_query.series.math.buckets import Buckets, Float64s, means
from stepwell_schemas.clickhouse.tables import POINT_TABLES
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

SERIES_MAX: Final = 10_000
"""Limit of series of one answer, unless the settings have another one."""

POINTS_MAX: Final = 10_000
"""Limit of points of one series in one answer; a screen has fewer pixels, and exports use `scan`."""

DRAWN_TABLES: Final = {kind: POINT_TABLES[kind] for kind in (Kind.NUMBER, Kind.BOOL)}
"""The kinds of series that have views, and their tables."""


class Sampling(StrEnum):
    """Methods of reducing a series to few points; docs/sampling.md describes them."""

    BUCKETS = "buckets"
    LTTB = "lttb"
    RANDOM = "random"
    RAW = "raw"


class Axis(StrEnum):
    """X axes other than a metric."""

    STEP = "_step"
    TIMESTAMP = "_timestamp"
    RUNTIME = "_runtime"


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """A request to each run: at most `points` points for each key, from `step_from` to `step_to`, both included.

    `x` is an `Axis` or the key of a number; points are at the steps that have a value of both. None selects the x axis
    of each metric: the metric that `define_metric` names if the run logged it as a number, otherwise the step.
    `smoothing` is the weight of the exponential moving average, 0 (none) <= weight < 1, of a row, or of one of
    `smoothing_parts` equal parts of the whole series. `writers` selects the series of each key; all
    writers together may have `most_series` series.
    """

    keys: Sequence[str]
    points: int = 1_000
    step_from: int | None = None
    step_to: int | None = None
    x: str | None = None
    sampling: Sampling = Sampling.BUCKETS
    seed: int = 0
    smoothing: float = 0.0
    smoothing_parts: int | None = None
    writers: WriterSelection = PRIMARY
    most_series: int = SERIES_MAX


@dataclass(frozen=True, slots=True)
class Points:
    """n points in columns, ascending by x: x float64[n] or int64[n], and the buckets of `math/buckets.py`."""

    x: NDArray[Any]
    buckets: Buckets

    @property
    def mean(self) -> Float64s:
        """The mean of each point's finite values, or its last value if it has none."""
        return means(self.buckets)


@dataclass(frozen=True, slots=True)
class MovingAverage:
    """float64[n]: the moving average at each point's step, computed from buckets of `width` steps; 1: from rows."""

    values: Float64s
    width: int


@dataclass(frozen=True, slots=True)
class SeriesView:
    """One series to draw over `x`; `info` has the extent of the whole series, `plan` that of the view.

    `sampling` is the method that was used, RAW if the points are all rows. `count` is the number of rows that the view
    represents, `nan_count` the number of NaN among them. `x_width` is the width of buckets on the x axis, if any.
    """

    x: str
    info: SeriesInfo
    plan: BucketPlan
    points: Points
    sampling: Sampling
    count: int
    nan_count: int
    x_width: float | None = None
    smoothed: MovingAverage | None = None


@dataclass(frozen=True, slots=True)
class RunSeries:
    """The answer for one run; `undrawn` lists series of the requested keys that are neither number nor bool."""

    run: RunPath
    request: SeriesRequest
    views: list[SeriesView]
    undrawn: list[SeriesInfo]
    unknown: list[str]
    progress: Progress


def empty_points() -> Points:
    """Return no points."""
    return Points(np.empty(0, np.float64), Buckets.empty())
