"""Moving averages over whole series for their views: from rows if these are few enough, otherwise from rollups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from stepwell_query.query_limits import QueryLimits
from stepwell_query.series.bucket_reader import BucketReader
from stepwell_query.series.math.bucketing import BucketPlan
from stepwell_query.series.math.buckets import Buckets, Float64s, concatenate
from stepwell_query.series.math.ema import averages_at_steps, finest_level, moving_averages, row_weight
from stepwell_query.series.models import MovingAverage, SeriesRequest, SeriesView
from stepwell_query.series.read_plan import SeriesRead
from stepwell_query.series.targets import SeriesTarget
from stepwell_schemas.clickhouse.store import Store

SMOOTHED_ROWS: Final = 250_000
"""Limit of rows, or buckets of longer series, from which the average of one series is computed."""

SMOOTHED_ROWS_ALL: Final = 4_000_000
"""The same limit for all series of a request; each gets an equal share."""


def add_moving_averages(
    store: Store,
    request: SeriesRequest,
    limits: QueryLimits,
    targets: Sequence[SeriesTarget],
    views: Sequence[SeriesView],
) -> list[SeriesView]:
    """Return the views with the requested moving averages. Raises: StoreError."""
    drawn = [index for index, view in enumerate(views) if len(view.points.buckets)]
    if not request.smoothing or not drawn:
        return list(views)
    limit = min(SMOOTHED_ROWS, SMOOTHED_ROWS_ALL // len(drawn))
    planned = [_plan_reads(targets[index], views[index].plan, limit) for index in drawn]
    reader = BucketReader(store, limits)
    parts = [_read(reader, [pair[number] for pair in planned]) for number in (0, 1)]
    buckets = concatenate(parts)
    averages = moving_averages(buckets, len(drawn), _weights(request, [targets[index].info.rows for index in drawn]))
    smoothed = list(views)
    steps = [views[index].points.buckets.step for index in drawn]
    for index, (_, near), values in zip(drawn, planned, averages_at_steps(buckets, averages, steps), strict=True):
        smoothed[index] = replace(views[index], smoothed=MovingAverage(values, 1 << near.shift))
    return smoothed


def _weights(request: SeriesRequest, rows: Sequence[int]) -> Float64s:
    parts = request.smoothing_parts
    weights = [request.smoothing if parts is None else row_weight(request.smoothing, parts, own) for own in rows]
    return np.array(weights, np.float64)


def _plan_reads(target: SeriesTarget, plan: BucketPlan, limit: int) -> tuple[SeriesRead | None, SeriesRead]:
    """Return the reads before a view's range and within it, each with the finest buckets that the limit allows."""
    info = target.info
    first = info.is_drawn_from
    coarse = finest_level(plan.last - first + 1, info.rows, limit)
    fine = finest_level(plan.last - plan.first + 1, info.rows, limit)
    cut = plan.first >> coarse << coarse
    if fine >= coarse or cut <= first:
        return None, SeriesRead(target.run, info, first, plan.last, min(fine, coarse)).without_removed_rows()
    before = SeriesRead(target.run, info, first, cut - 1, coarse)
    within = SeriesRead(target.run, info, cut, plan.last, fine)
    return before.without_removed_rows(), within.without_removed_rows()


def _read(reader: BucketReader, reads: Sequence[SeriesRead | None]) -> Buckets:
    indexes = [index for index, read in enumerate(reads) if read is not None]
    smoothed = reader.read([read for read in reads if read is not None])
    return smoothed.owned(np.array(indexes, np.int64)[smoothed.owner])
