"""A series that is wanted over some x axis, and what every way of viewing it shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.errors import RequestError
from stepwell_query.series.math.bucketing import BucketPlan
from stepwell_query.series.math.buckets import Int64s
from stepwell_query.series.models import POINTS_MAX, Axis, Sampling, SeriesRequest, SeriesView, empty_points
from stepwell_query.series.read_plan import Reading
from stepwell_schemas.rules.identifiers import RunPath


@dataclass(frozen=True, slots=True)
class Wanted:
    """A series to be drawn over `x`; None: over a metric that its run lacks, so that it has no points.

    `started_ms` is the zero of `_runtime`.
    """

    run: RunPath
    info: SeriesInfo
    x: Axis | SeriesInfo | None
    started_ms: int


def no_view(one: Wanted, request: SeriesRequest) -> SeriesView:
    """Return the view of a series that has nothing in the range."""
    x = one.x.key if isinstance(one.x, SeriesInfo) else str(one.x or request.x)
    return SeriesView(x, one.info, BucketPlan(one.info.first, one.info.last, 0), empty_points(), Sampling.RAW, 0, 0)


def check_raw(readings: Sequence[Reading], counts: Int64s) -> None:
    """Check that no series has more rows than one answer holds. Raises: RequestError."""
    for place in np.flatnonzero(counts > POINTS_MAX).tolist():
        reading = readings[place]
        rule = f"{reading.info.key!r} has more than {POINTS_MAX:,} rows from {reading.low} to {reading.high}"
        raise RequestError("sampling", "raw", rule, "narrow from and to, take sampling=buckets, or use scan")
