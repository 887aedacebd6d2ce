"""Views of series over other metrics: joined on the step, exactly where that is affordable.

- Where one of the two has few rows, they are read, and the other metric at their steps.
- Where both have at most JOINED_ROWS together, all rows of both are read and joined.
- Else both are read by buckets of steps, and those are joined: a bucket lies at the last x of the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.series.bucket_reader import RowReader
from stepwell_query.series.math.bucketing import BucketPlan, bucket_shift, clip
from stepwell_query.series.math.buckets import Buckets
from stepwell_query.series.math.xy_join import Joined, bucketed_over_x, joined, over_x
from stepwell_query.series.models import Points, Sampling, SeriesRequest, SeriesView
from stepwell_query.series.read_plan import Reading
from stepwell_query.series.targets import Wanted, check_raw, no_view
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

JOINED_ROWS: Final = 1_000_000
"""Rows of a metric and its x axis together that are joined one by one."""

JOINED_ROWS_ALL: Final = 4_000_000
"""The same for all series of a request together, each of which may have an even share."""

LOOKUP_ROWS: Final = 10_000
"""Rows of one metric at whose steps the other one is looked up, however long that is."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """A series, its x axis, and how both are read."""

    one: Wanted
    y: Reading
    x: Reading


class MetricViewer:
    """Makes views of series over other metrics."""

    def __init__(self, store: Store, request: SeriesRequest, max_seconds: float) -> None:
        self._reader = RowReader(store, max_seconds)
        self._request = request

    def views(self, wanted: Sequence[Wanted]) -> list[SeriesView]:
        """Return a view of each series, in order. Raises: RequestError, StoreError."""
        views = [no_view(one, self._request) for one in wanted]
        pairs = {place: pair for place, one in enumerate(wanted) if (pair := self._pair(one))}
        share = min(JOINED_ROWS, JOINED_ROWS_ALL // max(len(pairs), 1))
        ways: dict[Callable[[list[_Pair]], list[SeriesView]], list[int]] = {}
        for place, pair in pairs.items():
            ways.setdefault(self._way(pair, share), []).append(place)
        for way, places in ways.items():
            for place, view in zip(places, way([pairs[place] for place in places]), strict=True):
                views[place] = view
        return views

    def _pair(self, one: Wanted) -> _Pair | None:
        """Return what has to be read; None where the two have no step in common."""
        assert isinstance(one.x, SeriesInfo)  # noqa: S101 - what this class is for
        first, last = max(one.info.first, one.x.first), min(one.info.last, one.x.last)
        extent = clip(first, last, self._request.low, self._request.high)
        if extent is None:
            return None
        return _Pair(one, Reading(one.run, one.info, *extent, 0), Reading(one.run, one.x, *extent, 0))

    def _way(self, pair: _Pair, share: int) -> Callable[[list[_Pair]], list[SeriesView]]:
        if pair.y.rows + pair.x.rows <= share:
            return self._whole
        if pair.y.rows <= min(LOOKUP_ROWS, pair.x.rows):
            return self._x_at_rows
        if pair.x.rows <= LOOKUP_ROWS:
            return self._rows_at_x
        if self._request.sampling is Sampling.RAW:
            check_raw([pair.y], np.array([pair.y.rows]))
        return self._by_buckets

    def _whole(self, pairs: list[_Pair]) -> list[SeriesView]:
        xs, of = _distinct([pair.x for pair in pairs])
        rows = self._reader.read([pair.y for pair in pairs])
        return self._over_rows(pairs, rows, self._reader.read(xs), of)

    def _x_at_rows(self, pairs: list[_Pair]) -> list[SeriesView]:
        ys, (xs, of) = [pair.y for pair in pairs], _distinct([pair.x for pair in pairs])
        return self._over_rows(pairs, self._reader.read(ys), self._reader.read_at(xs, ys), of)

    def _rows_at_x(self, pairs: list[_Pair]) -> list[SeriesView]:
        ys, (xs, of) = [pair.y for pair in pairs], _distinct([pair.x for pair in pairs])
        return self._over_rows(pairs, self._reader.read_at(ys, xs), self._reader.read(xs), of)

    def _over_rows(self, pairs: Sequence[_Pair], rows: Buckets, xs: Buckets, of: Sequence[int]) -> list[SeriesView]:
        """Return the views of rows joined on their step; `of` says which of the axes is a pair's."""
        axes = xs.split(max(of) + 1)
        found = [joined(part, axes[x], 0) for part, x in zip(rows.split(len(pairs)), of, strict=True)]
        if self._request.sampling is Sampling.RAW:
            check_raw([pair.y for pair in pairs], np.array([len(x) for x, _ in found]))
            return [_view(pair, over_x(*rows_of), 0) for pair, rows_of in zip(pairs, found, strict=True)]
        points = self._request.points
        return [_view(pair, bucketed_over_x(*rows_of, points), 0) for pair, rows_of in zip(pairs, found, strict=True)]

    def _by_buckets(self, pairs: list[_Pair]) -> list[SeriesView]:
        shifts = [bucket_shift(pair.y.low, pair.y.high, self._request.points) for pair in pairs]
        views: dict[int, SeriesView] = {}
        for shift in sorted(set(shifts)):
            places = [place for place, own in enumerate(shifts) if own == shift]
            chosen = [pairs[place] for place in places]
            xs, of = _distinct([replace(pair.x, shift=shift) for pair in chosen])
            rows = self._reader.read([replace(pair.y, shift=shift) for pair in chosen]).split(len(chosen))
            axes = self._reader.read(xs).split(len(xs))
            for place, pair, part, x in zip(places, chosen, rows, of, strict=True):
                views[place] = _view(pair, over_x(*joined(part, axes[x], shift)), shift)
        return [views[place] for place in range(len(pairs))]


def _distinct(readings: Sequence[Reading]) -> tuple[list[Reading], list[int]]:
    """Return a reading for each series, as wide as it is needed, and which of those each one is."""
    places: dict[tuple[RunPath, str], int] = {}
    distinct: list[Reading] = []
    of = []
    for reading in readings:
        place = places.setdefault((reading.run, reading.info.key), len(distinct))
        if place == len(distinct):
            distinct.append(reading)
        known = distinct[place]
        distinct[place] = replace(known, low=min(known.low, reading.low), high=max(known.high, reading.high))
        of.append(place)
    return distinct, of


def _view(pair: _Pair, found: Joined, shift: int) -> SeriesView:
    sampled = found.width is not None or shift > 0
    return SeriesView(
        pair.x.info.key,
        pair.one.info,
        BucketPlan(pair.y.low, pair.y.high, shift),
        Points(found.x, found.buckets),
        Sampling.BUCKETS if sampled else Sampling.RAW,
        int(found.buckets.rows.sum()),
        int(found.buckets.nans.sum()),
        found.width,
    )
