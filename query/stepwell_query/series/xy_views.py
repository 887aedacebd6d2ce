"""Views of series over other metrics, joined on the step; exact if the number of rows allows it.

- If one of the two metrics has few rows, these are read, and the other metric is read at their steps.
- If both have at most JOINED_ROWS rows together, all rows of both are read and joined.
- Otherwise both are read by buckets of steps, and the buckets are joined: a bucket lies at the last x of its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.query_limits import QueryLimits
from stepwell_query.series.bucket_reader import BucketReader
from stepwell_query.series.math.bucketing import BucketPlan, bucket_shift, clip
from stepwell_query.series.math.buckets import Buckets
from stepwell_query.series.math.xy_join import XYPoints, bucket_by_x, join_on_step, sort_by_x
from stepwell_query.series.models import Points, Sampling, SeriesRequest, SeriesView
from stepwell_query.series.read_plan import SeriesRead
from stepwell_query.series.targets import SeriesTarget, check_raw, empty_view
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

JOINED_ROWS: Final = 1_000_000
"""Limit of rows of a metric and its x axis together that are joined row by row."""

JOINED_ROWS_ALL: Final = 4_000_000
"""The same limit for all series of a request; each gets an equal share."""

LOOKUP_ROWS: Final = 10_000
"""Limit of rows of one metric at whose steps the other metric is looked up, whatever its length."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A series over another metric, and the reads of both."""

    target: SeriesTarget
    y: SeriesRead
    x: SeriesRead


class XYViewBuilder:
    """Builds views of series over other metrics."""

    def __init__(self, store: Store, request: SeriesRequest, limits: QueryLimits) -> None:
        self._reader = BucketReader(store, limits)
        self._request = request

    def views(self, targets: Sequence[SeriesTarget]) -> list[SeriesView]:
        """Return a view of each series, in order. Raises: RequestError, StoreError."""
        views = [empty_view(target, self._request) for target in targets]
        pairs = {index: pair for index, target in enumerate(targets) if (pair := self._pair(target))}
        share = min(JOINED_ROWS, JOINED_ROWS_ALL // max(len(pairs), 1))
        by_method: dict[Callable[[list[_Pair]], list[SeriesView]], list[int]] = {}
        for index, pair in pairs.items():
            by_method.setdefault(self._choose_method(pair, share), []).append(index)
        for method, indexes in by_method.items():
            for index, view in zip(indexes, method([pairs[index] for index in indexes]), strict=True):
                views[index] = view
        return views

    def _pair(self, target: SeriesTarget) -> _Pair | None:
        """Return the reads of a series and its x axis; None if their steps do not overlap in the range."""
        assert isinstance(target.x, SeriesInfo)  # noqa: S101 - the caller passes only such targets
        raw = self._request.sampling is Sampling.RAW
        begins = [info.has_rows_from if raw else info.is_drawn_from for info in (target.info, target.x)]
        first, last = max(begins), min(target.info.last, target.x.last)
        extent = clip(first, last, self._request.step_from, self._request.step_to)
        if extent is None:
            return None
        y, x = (SeriesRead(target.run, info, *extent, 0) for info in (target.info, target.x))
        return _Pair(target, y, x)

    def _choose_method(self, pair: _Pair, share: int) -> Callable[[list[_Pair]], list[SeriesView]]:
        if pair.y.has_removed_rows or pair.x.has_removed_rows:
            return self._by_buckets
        if pair.y.rows + pair.x.rows <= share:
            return self._join_all_rows
        if pair.y.rows <= min(LOOKUP_ROWS, pair.x.rows):
            return self._x_at_rows
        if pair.x.rows <= LOOKUP_ROWS:
            return self._rows_at_x
        if self._request.sampling is Sampling.RAW:
            check_raw([pair.y], np.array([pair.y.rows]))
        return self._by_buckets

    def _join_all_rows(self, pairs: list[_Pair]) -> list[SeriesView]:
        xs, axis_indexes = _distinct([pair.x for pair in pairs])
        rows = self._reader.read([pair.y for pair in pairs])
        return self._over_rows(pairs, rows, self._reader.read(xs), axis_indexes)

    def _x_at_rows(self, pairs: list[_Pair]) -> list[SeriesView]:
        ys, (xs, axis_indexes) = [pair.y for pair in pairs], _distinct([pair.x for pair in pairs])
        return self._over_rows(pairs, self._reader.read(ys), self._reader.read_at(xs, ys), axis_indexes)

    def _rows_at_x(self, pairs: list[_Pair]) -> list[SeriesView]:
        ys, (xs, axis_indexes) = [pair.y for pair in pairs], _distinct([pair.x for pair in pairs])
        return self._over_rows(pairs, self._reader.read_at(ys, xs), self._reader.read(xs), axis_indexes)

    def _over_rows(
        self, pairs: Sequence[_Pair], rows: Buckets, xs: Buckets, axis_indexes: Sequence[int]
    ) -> list[SeriesView]:
        """Return the views of rows joined on their step; `axis_indexes` has the index in `xs` of each pair's axis."""
        axes = xs.split(max(axis_indexes) + 1)
        joined = [join_on_step(part, axes[x], 0) for part, x in zip(rows.split(len(pairs)), axis_indexes, strict=True)]
        if self._request.sampling is Sampling.RAW:
            check_raw([pair.y for pair in pairs], np.array([len(x) for x, _ in joined]))
            return [_view(pair, sort_by_x(*xy), 0) for pair, xy in zip(pairs, joined, strict=True)]
        points = self._request.points
        return [_view(pair, bucket_by_x(*xy, points), 0) for pair, xy in zip(pairs, joined, strict=True)]

    def _by_buckets(self, pairs: list[_Pair]) -> list[SeriesView]:
        pairs = [_over_whole_buckets(pair) for pair in pairs]
        shifts = [
            max(bucket_shift(pair.y.step_from, pair.y.step_to, self._request.points), pair.y.shift) for pair in pairs
        ]
        views: dict[int, SeriesView] = {}
        for shift in sorted(set(shifts)):
            indexes = [index for index, own in enumerate(shifts) if own == shift]
            chosen = [pairs[index] for index in indexes]
            xs, axis_indexes = _distinct([replace(pair.x, shift=shift) for pair in chosen])
            rows = self._reader.read([replace(pair.y, shift=shift) for pair in chosen]).split(len(chosen))
            axes = self._reader.read(xs).split(len(xs))
            for index, pair, part, x in zip(indexes, chosen, rows, axis_indexes, strict=True):
                views[index] = _view(pair, sort_by_x(*join_on_step(part, axes[x], shift)), shift)
        return [views[index] for index in range(len(pairs))]


def _over_whole_buckets(pair: _Pair) -> _Pair:
    """Return a pair whose reads have the same steps and buckets, if rows of either are removed."""
    y, x = pair.y.without_removed_rows(), pair.x.without_removed_rows()
    low, high, shift = min(y.step_from, x.step_from), max(y.step_to, x.step_to), max(y.shift, x.shift)
    whole = [replace(read, step_from=low, step_to=high, shift=shift) for read in (pair.y, pair.x)]
    return replace(pair, y=whole[0], x=whole[1])


def _distinct(reads: Sequence[SeriesRead]) -> tuple[list[SeriesRead], list[int]]:
    """Merge reads of the same series; return the merged reads, and the index of the one that serves each read."""
    indexes: dict[tuple[RunPath, str, str], int] = {}
    distinct: list[SeriesRead] = []
    axis_indexes = []
    for read in reads:
        index = indexes.setdefault((read.run, read.info.key, read.info.writer), len(distinct))
        if index == len(distinct):
            distinct.append(read)
        known = distinct[index]
        distinct[index] = replace(
            known, step_from=min(known.step_from, read.step_from), step_to=max(known.step_to, read.step_to)
        )
        axis_indexes.append(index)
    return distinct, axis_indexes


def _view(pair: _Pair, points: XYPoints, shift: int) -> SeriesView:
    sampled = points.width is not None or shift > 0
    return SeriesView(
        pair.x.info.key,
        pair.target.info,
        BucketPlan(pair.y.step_from, pair.y.step_to, shift),
        Points(points.x, points.buckets),
        Sampling.BUCKETS if sampled else Sampling.RAW,
        int(points.buckets.count.sum()),
        int(points.buckets.nan_count.sum()),
        points.width,
    )
