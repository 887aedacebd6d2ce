"""Views of series: which buckets or rows each needs, read for all of them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.errors import RequestError
from stepwell_query.series.bucket_reader import RowReader
from stepwell_query.series.math.bucketing import BucketPlan, affordable, bucket_plan, clip
from stepwell_query.series.math.buckets import Buckets, Int64s, concatenated
from stepwell_query.series.math.lttb import BUCKETS_A_POINT, candidates, largest_triangles
from stepwell_query.series.models import POINTS_MAX, Axis, Points, Sampling, SeriesRequest, SeriesView
from stepwell_query.series.read_plan import Reading
from stepwell_query.series.targets import Wanted, check_raw, no_view
from stepwell_query.series.xy_views import MetricViewer
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.kinds import Kind

RANDOM_ROWS: Final = 50_000_000
"""Rows that random sampling may look at in one request: it can leave out none."""

POINT_ROWS: Final = 4_000_000
"""Rows of long series that one request reads point by point, about: beyond it, wider buckets are taken.

A third of a second's worth. Only requests for hundreds of series come to it.
"""

_MILLISECONDS: Final = 1_000.0


class Viewer:
    """Makes views of any number of series, with a few statements for all."""

    def __init__(self, store: Store, request: SeriesRequest, max_seconds: float) -> None:
        self._store = store
        self._request = request
        self._max_seconds = max_seconds

    def views(self, wanted: Sequence[Wanted]) -> list[SeriesView]:
        """Return a view of each series, in order. Raises: RequestError, StoreError."""
        views: dict[int, SeriesView] = {}
        over_steps: list[int] = []
        over_metrics: list[int] = []
        for place, one in enumerate(wanted):
            if self._extent(one) is None:
                views[place] = no_view(one, self._request)
            else:
                (over_metrics if isinstance(one.x, SeriesInfo) else over_steps).append(place)
        for places, method in ((over_steps, self._over_steps), (over_metrics, self._over_metrics)):
            found = method([wanted[place] for place in places]) if places else []
            views |= zip(places, found, strict=True)
        return [views[place] for place in range(len(wanted))]

    def _extent(self, one: Wanted) -> tuple[int, int] | None:
        """Return the asked steps of a series; None where it has none of them, or nothing to be drawn over."""
        return None if one.x is None else clip(one.info.first, one.info.last, self._request.low, self._request.high)

    def _over_metrics(self, wanted: Sequence[Wanted]) -> list[SeriesView]:
        return MetricViewer(self._store, self._request, self._max_seconds).views(wanted)

    def _over_steps(self, wanted: Sequence[Wanted]) -> list[SeriesView]:
        sampling, points = self._request.sampling, self._request.points
        reader = RowReader(
            self._store,
            self._max_seconds,
            times=any(one.x != Axis.STEP for one in wanted),
            extremes=sampling is Sampling.LTTB,
        )
        if sampling is Sampling.RAW:
            return _views(wanted, self._raw(reader, wanted), sampling, points)
        buckets = points * BUCKETS_A_POINT if sampling is Sampling.LTTB else points
        whole = self._rows_of_few(reader, self._bucketed(reader, wanted, buckets))
        long = np.flatnonzero(whole.counts > points)
        if sampling is Sampling.BUCKETS or not len(long):
            return _views(wanted, whole, sampling, points)
        chosen = whole.buckets.take(np.isin(whole.buckets.owner, long))
        if sampling is Sampling.LTTB:
            rows = largest_triangles(candidates(chosen, len(wanted)), len(wanted), points)
        else:
            rows = self._random(reader, whole, long)
        others = whole.buckets.take(~np.isin(whole.buckets.owner, long))
        return _views(wanted, replace(whole, buckets=concatenated([others, rows])), sampling, points)

    def _raw(self, reader: RowReader, wanted: Sequence[Wanted]) -> _Read:
        readings = [Reading(one.run, one.info, *extent, 0) for one in wanted if (extent := self._extent(one))]
        found = _Read.of(readings, reader.read(readings, POINTS_MAX + 1))
        check_raw(readings, found.counts)
        return found

    def _bucketed(self, reader: RowReader, wanted: Sequence[Wanted], buckets: int) -> _Read:
        plans = [(one, bucket_plan(*extent, one.info.rows, buckets)) for one in wanted if (extent := self._extent(one))]
        readings = [Reading(one.run, one.info, plan.first, plan.last, plan.shift) for one, plan in plans]
        # Booleans have no rollups, and are not asked for by the thousand.
        shifts = [one.shift if one.info.kind is Kind.NUMBER else 0 for one in readings]
        raised = affordable(shifts, [one.rows for one in readings], LEVELS[0], POINT_ROWS)
        readings = [replace(one, shift=max(shift, one.shift)) for one, shift in zip(readings, raised, strict=True)]
        return _Read.of(readings, reader.read(readings))

    def _rows_of_few(self, reader: RowReader, found: _Read) -> _Read:
        """Read what turned out to have no more rows than points asked for again, as the rows themselves."""
        readings = list(found.readings)
        few = [place for place, one in enumerate(readings) if one.shift and found.counts[place] <= self._request.points]
        if not few:
            return found
        for place in few:
            readings[place] = replace(readings[place], shift=0)
        rows = reader.read([readings[place] for place in few])
        others = found.buckets.take(~np.isin(found.buckets.owner, few))
        return _Read.of(readings, concatenated([others, rows.owned(np.array(few)[rows.owner])]))

    def _random(self, reader: RowReader, whole: _Read, long: Int64s) -> Buckets:
        total = int(whole.counts[long].sum())
        if total > RANDOM_ROWS:
            rule = f"looks at every row, and there are {total:,} of the {RANDOM_ROWS:,} that it may look at"
            raise RequestError("sampling", "random", rule, "narrow from and to, or take sampling=lttb or buckets")
        readings = [replace(whole.readings[place], shift=0) for place in long]
        rows = reader.read_random(readings, whole.counts[long], self._request.points, self._request.seed)
        return rows.owned(long[rows.owner])


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of each reading, and how many rows and NaN it stands for."""

    readings: list[Reading]
    buckets: Buckets
    counts: Int64s
    nans: Int64s

    @classmethod
    def of(cls, readings: list[Reading], buckets: Buckets) -> _Read:
        owners = len(readings)
        return cls(readings, buckets, buckets.counts(owners), buckets.sums(buckets.nans, owners))


def _views(wanted: Sequence[Wanted], found: _Read, sampling: Sampling, points: int) -> list[SeriesView]:
    """Return the view of each series; those with no more rows than points are not sampled."""
    parts = found.buckets.split(len(wanted))
    counts, nans = found.counts.tolist(), found.nans.tolist()
    return [
        SeriesView(
            str(one.x),
            one.info,
            BucketPlan(reading.low, reading.high, reading.shift),
            _points(one, part),
            Sampling.RAW if counts[place] <= points else sampling,
            counts[place],
            nans[place],
        )
        for place, (one, reading, part) in enumerate(zip(wanted, found.readings, parts, strict=True))
    ]


def _points(one: Wanted, buckets: Buckets) -> Points:
    times = np.empty(0) if buckets.time is None else buckets.time
    match one.x:
        case Axis.TIMESTAMP:
            return Points(times / _MILLISECONDS, buckets)
        case Axis.RUNTIME:
            return Points((times - one.started_ms) / _MILLISECONDS, buckets)
    return Points(buckets.step, buckets)
