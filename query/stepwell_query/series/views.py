"""Views of series: the buckets or rows of each, read together in few statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.series.bucket_reader import BucketReader
from stepwell_query.series.known_rows import RunRows
from stepwell_query.series.math.bucketing import BucketPlan, bucket_plan, clip, limit_point_reads
from stepwell_query.series.math.buckets import Buckets, Int64s, concatenate
from stepwell_query.series.math.lttb import BUCKETS_A_POINT, candidates, largest_triangles
from stepwell_query.series.models import POINTS_MAX, Axis, Points, Sampling, SeriesRequest, SeriesView
from stepwell_query.series.read_plan import SeriesRead
from stepwell_query.series.targets import SeriesTarget, check_raw, empty_view
from stepwell_query.series.xy_views import XYViewBuilder
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.kinds import Kind

RANDOM_ROWS: Final = 50_000_000
"""Limit of rows that random sampling scans in one request; it has to scan all of them."""

POINT_ROWS: Final = 4_000_000
"""Approximate limit of points that one request reads from long series; above it, wider buckets are used.

Reading them takes a third of a second. Only requests for hundreds of series reach the limit.
"""

_MILLISECONDS: Final = 1_000.0


class SeriesViewBuilder:
    """Builds views of any number of series with a few statements in total; `known` as of `BucketReader`."""

    def __init__(self, store: Store, request: SeriesRequest, limits: QueryLimits, known: RunRows | None = None) -> None:
        self._store = store
        self._known = known
        self._request = request
        self._limits = limits

    def views(self, targets: Sequence[SeriesTarget]) -> list[SeriesView]:
        """Return a view of each series, in order. Raises: RequestError, StoreError."""
        views: dict[int, SeriesView] = {}
        over_steps: list[int] = []
        over_metrics: list[int] = []
        for index, target in enumerate(targets):
            if self._extent(target) is None:
                views[index] = empty_view(target, self._request)
            else:
                (over_metrics if isinstance(target.x, SeriesInfo) else over_steps).append(index)
        for indexes, method in ((over_steps, self._over_steps), (over_metrics, self._over_metrics)):
            result = method([targets[index] for index in indexes]) if indexes else []
            views |= zip(indexes, result, strict=True)
        return [views[index] for index in range(len(targets))]

    def _extent(self, target: SeriesTarget) -> tuple[int, int] | None:
        """Return the requested steps of a series; None if it has none of them, or if its run lacks the x axis."""
        if target.x is None:
            return None
        return clip(target.info.is_drawn_from, target.info.last, self._request.step_from, self._request.step_to)

    def _over_metrics(self, targets: Sequence[SeriesTarget]) -> list[SeriesView]:
        return XYViewBuilder(self._store, self._request, self._limits).views(targets)

    def _over_steps(self, targets: Sequence[SeriesTarget]) -> list[SeriesView]:
        sampling, points = self._request.sampling, self._request.points
        reader = BucketReader(
            self._store,
            self._limits,
            times=any(target.x != Axis.STEP for target in targets),
            extremes=sampling is Sampling.LTTB,
            known=self._known,
        )
        if sampling is Sampling.RAW:
            return _views(targets, self._raw(reader, targets), sampling, points)
        buckets = points * BUCKETS_A_POINT if sampling is Sampling.LTTB else points
        bucketed = self._rows_of_few(reader, self._bucketed(reader, targets, buckets))
        long = np.flatnonzero(bucketed.counts > points)
        if sampling is Sampling.RANDOM:
            # Of rows that are removed, none can be drawn; their series are views of buckets.
            long = long[[not bucketed.reads[index].has_removed_rows for index in long]]
        if sampling is Sampling.BUCKETS or not len(long):
            return _views(targets, bucketed, sampling, points)
        chosen = bucketed.buckets.take(np.isin(bucketed.buckets.owner, long))
        if sampling is Sampling.LTTB:
            rows = largest_triangles(candidates(chosen, len(targets)), len(targets), points)
        else:
            rows = self._random(reader, bucketed, long)
        others = bucketed.buckets.take(~np.isin(bucketed.buckets.owner, long))
        return _views(targets, replace(bucketed, buckets=concatenate([others, rows])), sampling, points)

    def _raw(self, reader: BucketReader, targets: Sequence[SeriesTarget]) -> _ReadResult:
        extents = [(target, self._extent(target)) for target in targets]
        reads = [
            SeriesRead(target.run, target.info, max(extent[0], target.info.has_rows_from), extent[1], 0)
            for target, extent in extents
            if extent
        ]
        result = _ReadResult.from_buckets(reads, reader.read(reads, POINTS_MAX + 1))
        check_raw(reads, result.counts)
        return result

    def _bucketed(self, reader: BucketReader, targets: Sequence[SeriesTarget], buckets: int) -> _ReadResult:
        extents = [(target, self._extent(target)) for target in targets]
        plans = [(target, bucket_plan(*extent, target.info.rows, buckets)) for target, extent in extents if extent]
        reads = [SeriesRead(target.run, target.info, plan.first, plan.last, plan.shift) for target, plan in plans]
        # Booleans have no rollups, and requests for thousands of them are not expected.
        shifts = [read.shift if read.info.kind is Kind.NUMBER else 0 for read in reads]
        raised = limit_point_reads(shifts, [read.rows for read in reads], LEVELS[0], POINT_ROWS)
        reads = [
            replace(read, shift=max(shift, read.shift)).without_removed_rows()
            for read, shift in zip(reads, raised, strict=True)
        ]
        return _ReadResult.from_buckets(reads, reader.read(reads))

    def _rows_of_few(self, reader: BucketReader, result: _ReadResult) -> _ReadResult:
        """Replace buckets by rows for series that turned out to have at most `points` rows in the range."""
        reads = list(result.reads)
        points = self._request.points
        few = [
            index
            for index, read in enumerate(reads)
            if read.shift and result.counts[index] <= points and not read.has_removed_rows
        ]
        if not few:
            return result
        for index in few:
            reads[index] = replace(reads[index], shift=0)
        rows = reader.read([reads[index] for index in few])
        others = result.buckets.take(~np.isin(result.buckets.owner, few))
        return _ReadResult.from_buckets(reads, concatenate([others, rows.owned(np.array(few)[rows.owner])]))

    def _random(self, reader: BucketReader, bucketed: _ReadResult, long: Int64s) -> Buckets:
        total = int(bucketed.counts[long].sum())
        if total > RANDOM_ROWS:
            rule = f"scans every row, and {total:,} rows are more than the limit of {RANDOM_ROWS:,}"
            raise RequestError("sampling", "random", rule, "narrow from and to, or use sampling=lttb or buckets")
        reads = [replace(bucketed.reads[index], shift=0) for index in long]
        rows = reader.read_random(reads, bucketed.counts[long], self._request.points, self._request.seed)
        return rows.owned(long[rows.owner])


@dataclass(frozen=True, slots=True)
class _ReadResult:
    """Buckets of each read, with the number of rows and of NaN values they represent."""

    reads: list[SeriesRead]
    buckets: Buckets
    counts: Int64s
    nan_counts: Int64s

    @classmethod
    def from_buckets(cls, reads: list[SeriesRead], buckets: Buckets) -> _ReadResult:
        owners = len(reads)
        return cls(reads, buckets, buckets.counts(owners), buckets.sums(buckets.nan_count, owners))


def _views(targets: Sequence[SeriesTarget], result: _ReadResult, sampling: Sampling, points: int) -> list[SeriesView]:
    """Return the view of each series; a series with at most `points` rows is not sampled."""
    parts = result.buckets.split(len(targets))
    counts, nans = result.counts.tolist(), result.nan_counts.tolist()
    return [
        SeriesView(
            str(target.x),
            target.info,
            BucketPlan(read.step_from, read.step_to, read.shift),
            _points(target, part),
            _used_sampling(read, sampling, few=counts[index] <= points),
            counts[index],
            nans[index],
        )
        for index, (target, read, part) in enumerate(zip(targets, result.reads, parts, strict=True))
    ]


def _used_sampling(read: SeriesRead, sampling: Sampling, *, few: bool) -> Sampling:
    """Return the method that a view is the result of."""
    if not read.has_removed_rows:
        return Sampling.RAW if few else sampling
    return Sampling.BUCKETS if few or sampling is Sampling.RANDOM else sampling


def _points(target: SeriesTarget, buckets: Buckets) -> Points:
    times = np.empty(0) if buckets.time is None else buckets.time
    match target.x:
        case Axis.TIMESTAMP:
            return Points(times / _MILLISECONDS, buckets)
        case Axis.RUNTIME:
            return Points((times - target.started_ms) / _MILLISECONDS, buckets)
    return Points(buckets.step, buckets)
