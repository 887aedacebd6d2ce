"""What a request for series is made of, and what its answer holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stepwell_query.catalog import Progress, SeriesInfo
from stepwell_query.sampling import BucketPlan
from stepwell_schemas.identifiers import RunPath

POINTS_MAX: Final = 10_000
"""Points of one series in one answer; a screen has fewer pixels, and exports have `scan`."""


class Sampling(StrEnum):
    """How a series becomes few points: `buckets` as `sampling.py` says, `raw` not at all."""

    BUCKETS = "buckets"
    RAW = "raw"


class Axis(StrEnum):
    """What may lie on the x axis besides a metric."""

    STEP = "_step"
    TIMESTAMP = "_timestamp"
    RUNTIME = "_runtime"


@dataclass(frozen=True, slots=True)
class SeriesRequest:
    """What is asked of one run: at most `points` points for each key, from step `low` to `high`, both included.

    `x` is one of `Axis`, or the key of a number: then the points are those at whose step it was logged too. None stands
    for each metric's own: what `define_metric` names, where the run logged that as a number, else the step.
    """

    keys: Sequence[str]
    points: int = 1_000
    low: int | None = None
    high: int | None = None
    x: str | None = None
    sampling: Sampling = Sampling.BUCKETS


@dataclass(frozen=True, slots=True)
class Points:
    """n points in columns: x float64[n], the rest as `sampling.py` says; int64[n] steps ascending and counts."""

    x: NDArray[Any]
    step: NDArray[np.int64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    rows: NDArray[np.int64]
    nans: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SeriesView:
    """One series as it will be drawn over `x`; `info` has the extents of the whole series, `plan` those of the view."""

    x: str
    info: SeriesInfo
    plan: BucketPlan
    points: Points

    @property
    def count(self) -> int:
        """Rows that the view stands for."""
        return int(self.points.rows.sum())


@dataclass(frozen=True, slots=True)
class RunSeries:
    """The answer for one run; `undrawn` are metrics of the asked keys that are neither number nor bool."""

    run: RunPath
    request: SeriesRequest
    views: list[SeriesView]
    undrawn: list[SeriesInfo]
    unknown: list[str]
    progress: Progress
