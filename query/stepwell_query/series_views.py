"""Views of series: which buckets or rows each needs, read for all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from stepwell_query.buckets import Buckets, concatenated
from stepwell_query.catalog import SeriesInfo
from stepwell_query.metric_views import MetricViewer
from stepwell_query.readings import Reading
from stepwell_query.sampling import BucketPlan, bucket_plan, clip
from stepwell_query.series_model import POINTS_MAX, Axis, Points, Sampling, SeriesRequest, SeriesView
from stepwell_query.series_rows import RowReader
from stepwell_query.wanted import Wanted, check_raw, no_view
from stepwell_schemas.clickhouse import Store

_MILLISECONDS: Final = 1_000.0


class Viewer:
    """Makes views of any number of series, with a few statements for all."""

    def __init__(self, store: Store, request: SeriesRequest, max_seconds: float) -> None:
        self._store = store
        self._request = request
        self._max_seconds = max_seconds

    def views(self, wanted: Sequence[Wanted]) -> list[SeriesView]:
        """Return a view of each series, in order. Raises: RequestError, StoreError."""
        views = [no_view(one, self._request) for one in wanted]
        over_steps: list[int] = []
        over_metrics: list[int] = []
        for place, one in enumerate(wanted):
            if self._plan(one) is not None:
                (over_metrics if isinstance(one.x, SeriesInfo) else over_steps).append(place)
        for places, method in ((over_steps, self._over_steps), (over_metrics, self._over_metrics)):
            found = method([wanted[place] for place in places]) if places else []
            for place, view in zip(places, found, strict=True):
                views[place] = view
        return views

    def _plan(self, one: Wanted) -> BucketPlan | None:
        """Return how a series is cut; None where none of its steps is asked for."""
        extent = clip(one.info.first, one.info.last, self._request.low, self._request.high)
        if extent is None or one.x is None:
            return None
        if self._request.sampling is Sampling.RAW:
            return BucketPlan(*extent, 0)
        return bucket_plan(*extent, one.info.rows, self._request.points)

    def _readings(self, wanted: Sequence[Wanted]) -> list[Reading]:
        plans = [(one, self._plan(one)) for one in wanted]
        return [Reading(one.run, one.info, plan.first, plan.last, plan.shift) for one, plan in plans if plan]

    def _over_steps(self, wanted: Sequence[Wanted]) -> list[SeriesView]:
        reader = RowReader(self._store, self._max_seconds, times=any(one.x != Axis.STEP for one in wanted))
        readings = self._readings(wanted)
        raw = self._request.sampling is Sampling.RAW
        buckets = reader.read(readings, POINTS_MAX + 1 if raw else None)
        if raw:
            check_raw(readings, buckets.counts(len(readings)))
        buckets, readings = self._rows_of_few(reader, readings, buckets)
        return _split(wanted, readings, buckets)

    def _over_metrics(self, wanted: Sequence[Wanted]) -> list[SeriesView]:
        return MetricViewer(self._store, self._request, self._max_seconds).views(wanted)

    def _rows_of_few(
        self, reader: RowReader, readings: list[Reading], buckets: Buckets
    ) -> tuple[Buckets, list[Reading]]:
        """Read what turned out to have no more rows than points asked for again, as the rows themselves."""
        counts = buckets.counts(len(readings))
        few = [place for place, one in enumerate(readings) if one.shift and counts[place] <= self._request.points]
        if not few:
            return buckets, readings
        readings = list(readings)
        for place in few:
            readings[place] = replace(readings[place], shift=0)
        rows = reader.read([readings[place] for place in few])
        others = buckets.take(~np.isin(buckets.owner, few))
        return concatenated([others, rows.owned(np.array(few)[rows.owner])]), readings


def _split(wanted: Sequence[Wanted], readings: Sequence[Reading], buckets: Buckets) -> list[SeriesView]:
    """Return the view of each series; the buckets are those of all."""
    bounds = buckets.bounds(len(readings)).tolist()
    counts, nans = buckets.counts(len(readings)).tolist(), buckets.sums(buckets.nans, len(readings)).tolist()
    return [
        SeriesView(
            str(one.x),
            one.info,
            BucketPlan(reading.low, reading.high, reading.shift),
            _points(one, buckets.take(slice(bounds[place], bounds[place + 1]))),
            Sampling.BUCKETS if reading.shift else Sampling.RAW,
            counts[place],
            nans[place],
        )
        for place, (one, reading) in enumerate(zip(wanted, readings, strict=True))
    ]


def _points(one: Wanted, buckets: Buckets) -> Points:
    times = np.empty(0) if buckets.time is None else buckets.time
    match one.x:
        case Axis.TIMESTAMP:
            return Points(times / _MILLISECONDS, buckets)
        case Axis.RUNTIME:
            return Points((times - one.started_ms) / _MILLISECONDS, buckets)
    return Points(buckets.step, buckets)
