"""Adds moving averages over whole series to their views, from rows where they are few enough, from rollups else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from stepwell_query.series.bucket_reader import RowReader
from stepwell_query.series.math.bucketing import BucketPlan
from stepwell_query.series.math.buckets import Buckets, Float64s, concatenated
from stepwell_query.series.math.ema import at_steps, finest, moving_averages, weight_of_row
from stepwell_query.series.models import SeriesRequest, SeriesView, Smoothed
from stepwell_query.series.read_plan import Reading
from stepwell_query.series.targets import Wanted
from stepwell_schemas.clickhouse.store import Store

SMOOTHED_ROWS: Final = 250_000
"""Rows (or buckets, of longer series) of one series that an average is made of."""

SMOOTHED_ROWS_ALL: Final = 4_000_000
"""The same for all series of a request together, each of which may have an even share."""


def with_averages(
    store: Store, request: SeriesRequest, max_seconds: float, wanted: Sequence[Wanted], views: Sequence[SeriesView]
) -> list[SeriesView]:
    """Return the views with the moving averages that the request asks for. Raises: StoreError."""
    drawn = [place for place, view in enumerate(views) if len(view.points.buckets)]
    if not request.smoothing or not drawn:
        return list(views)
    limit = min(SMOOTHED_ROWS, SMOOTHED_ROWS_ALL // len(drawn))
    sources = [_source(wanted[place], views[place].plan, limit) for place in drawn]
    reader = RowReader(store, max_seconds)
    parts = [_read(reader, [source[number] for source in sources]) for number in (0, 1)]
    whole = concatenated(parts)
    averages = moving_averages(whole, len(drawn), _weights(request, [wanted[place].info.rows for place in drawn]))
    found = list(views)
    steps = [views[place].points.buckets.step for place in drawn]
    for place, (_, near), values in zip(drawn, sources, at_steps(whole, averages, steps), strict=True):
        found[place] = replace(views[place], smoothed=Smoothed(values, 1 << near.shift))
    return found


def _weights(request: SeriesRequest, rows: Sequence[int]) -> Float64s:
    parts = request.smoothing_parts
    weights = [request.smoothing if parts is None else weight_of_row(request.smoothing, parts, own) for own in rows]
    return np.array(weights, np.float64)


def _source(one: Wanted, plan: BucketPlan, limit: int) -> tuple[Reading | None, Reading]:
    """Return what is read before a view's range, as coarse as need be, and what in it, as fine as can be."""
    info = one.info
    coarse = finest(plan.last - info.first + 1, info.rows, limit)
    fine = finest(plan.last - plan.first + 1, info.rows, limit)
    cut = plan.first >> coarse << coarse
    if fine >= coarse or cut <= info.first:
        return None, Reading(one.run, info, info.first, plan.last, min(fine, coarse))
    before = Reading(one.run, info, info.first, cut - 1, coarse)
    return before, Reading(one.run, info, cut, plan.last, fine)


def _read(reader: RowReader, readings: Sequence[Reading | None]) -> Buckets:
    places = [place for place, reading in enumerate(readings) if reading is not None]
    found = reader.read([reading for reading in readings if reading is not None])
    return found.owned(np.array(places, np.int64)[found.owner])
