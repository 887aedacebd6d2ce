"""Targets: the series of a request with their x axes, and checks that all view builders share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.errors import RequestError
from stepwell_query.series.math.bucketing import BucketPlan
from stepwell_query.series.math.buckets import Int64s
from stepwell_query.series.models import POINTS_MAX, Axis, Sampling, SeriesRequest, SeriesView, empty_points
from stepwell_query.series.read_plan import SeriesRead
from stepwell_schemas.rules.identifiers import RunPath


@dataclass(frozen=True, slots=True)
class SeriesTarget:
    """A series to view over `x`; None if its run lacks the requested x metric, so that the view is empty.

    `started_ms` is the origin of `_runtime`.
    """

    run: RunPath
    info: SeriesInfo
    x: Axis | SeriesInfo | None
    started_ms: int


def empty_view(target: SeriesTarget, request: SeriesRequest) -> SeriesView:
    """Return the view of a series without rows in the range."""
    x = target.x.key if isinstance(target.x, SeriesInfo) else str(target.x or request.x)
    plan = BucketPlan(target.info.first, target.info.last, 0)
    return SeriesView(x, target.info, plan, empty_points(), Sampling.RAW, 0, 0)


def check_raw(reads: Sequence[SeriesRead], counts: Int64s) -> None:
    """Check that no series exceeds the limit of points in one answer. Raises: RequestError."""
    for index in np.flatnonzero(counts > POINTS_MAX).tolist():
        read = reads[index]
        rule = f"{read.info.key!r} has more than {POINTS_MAX:,} rows from {read.step_from} to {read.step_to}"
        raise RequestError("sampling", "raw", rule, "narrow from and to, use sampling=buckets, or use scan")


def check_number(series: int, request: SeriesRequest) -> None:
    """Check the number of series that the selected writers have. Raises: RequestError."""
    if not request.writers.is_primary and series > request.most_series:
        rule = f"selects {series:,} series, more than {request.most_series:,}"
        raise RequestError("writer", None, rule, "name fewer writers, or ask for fewer points")
