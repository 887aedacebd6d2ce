"""Pages: the rows of a series in an aligned range of steps, on one level, as they are kept from request to request.

Views of one series overlap: a zoom needs some of the rollups that the view before it needed. Requests have any range,
pages have few, so that most of what a view needs is in pages that an earlier one has read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.series.math.buckets import Buckets, Float64s, Int64s, concatenate, widen
from stepwell_query.series.read_plan import SeriesRead
from stepwell_query.series.row_decoder import PointRows, RowDecoder
from stepwell_query.series.segments import POINTS, Segment

PAGE_ROWS: Final = 1 << 11
"""Limit of the rows of a page, unless a short series is one page."""

_BITS: Final = PAGE_ROWS.bit_length() - 1
# A series of fewer points is one page, however far apart their steps are.
_SHORT_ROWS: Final = 2 * PAGE_ROWS
_ALL_STEPS: Final = 63
# Of a page without its columns.
_PAGE_BYTES: Final = 1_000


class PageId(NamedTuple):
    """The place of a page in its series."""

    level: int
    number: int


@dataclass(frozen=True, slots=True)
class RollupPage:
    """Rows of rollups; their owner is 0."""

    rows: Buckets

    @classmethod
    def of(cls, rows: Buckets) -> Self:
        """Return a page with copies of some rows."""
        return cls(rows.owned(np.zeros(len(rows), np.int64)).compacted())

    @property
    def size(self) -> int:
        """The bytes in memory."""
        return _PAGE_BYTES + self.rows.size

    def between(self, first: int, last: int) -> Buckets:
        """Return the buckets within the steps `first` to `last`, both included."""
        return self.rows.take(_range(self.rows.step, first, last))


@dataclass(frozen=True, slots=True)
class PointPage:
    """Points, with their steps from `first` on."""

    first: int
    offsets: NDArray[Any]
    values: Float64s
    times: Int64s | None

    @classmethod
    def of(cls, rows: PointRows) -> Self:
        """Return a page with copies of some points."""
        first = int(rows.step[0]) if len(rows.step) else 0
        offsets = rows.step - first
        narrow = np.min_scalar_type(int(offsets[-1])) if len(offsets) else np.uint8
        times = None if rows.time is None else rows.time.copy()
        return cls(first, offsets.astype(narrow), rows.value.copy(), times)

    @property
    def size(self) -> int:
        """The bytes in memory."""
        times = 0 if self.times is None else self.times.nbytes
        return _PAGE_BYTES + self.offsets.nbytes + self.values.nbytes + times

    def between(self, owner: int, first: int, last: int) -> PointRows:
        """Return the points within the steps `first` to `last`, both included, as those of `owner`."""
        steps = self.offsets.astype(np.int64) + self.first
        chosen = _range(steps, first, last)
        steps = steps[chosen]
        times = None if self.times is None else self.times[chosen]
        return PointRows(np.full(len(steps), owner), steps, self.values[chosen], times)


Page = RollupPage | PointPage


def page_bits(info: SeriesInfo, level: int) -> int:
    """Return the number of low bits of a step in which the rows of a page of a level differ."""
    return _ALL_STEPS if level == POINTS and is_short(info) else level + _BITS


def is_short(info: SeriesInfo) -> bool:
    """Return True if all points of a series are one page."""
    return info.rows <= _SHORT_ROWS


def count_pages(read: SeriesRead) -> int:
    """Return the number of pages with the rows that a read needs, or a few more."""
    bits = [page_bits(read.info, segment.level) - segment.level for segment in read.segments]
    return sum((segment.end - segment.first >> own) + 2 for segment, own in zip(read.segments, bits, strict=True))


def pages_of(read: SeriesRead) -> list[PageId]:
    """Return the pages with the rows that a read needs."""
    return list(dict.fromkeys(page for segment in read.segments for page in _pages(read.info, segment)))


def _pages(info: SeriesInfo, segment: Segment) -> Iterator[PageId]:
    bits = page_bits(info, segment.level) - segment.level
    for number in range(segment.first >> bits, (segment.end - 1 >> bits) + 1):
        yield PageId(segment.level, number)


def rows_of(info: SeriesInfo, page: PageId) -> Segment:
    """Return the rows of a page."""
    bits = page_bits(info, page.level) - page.level
    return Segment(page.level, page.number << bits, page.number + 1 << bits)


def merge(segments: Iterable[Segment]) -> list[Segment]:
    """Return the rows of segments, which may overlap, as few segments in order."""
    merged: list[Segment] = []
    for segment in sorted(set(segments)):
        last = merged[-1] if merged else None
        if last and last.level == segment.level and segment.first <= last.end:
            merged[-1] = last._replace(end=max(segment.end, last.end))
        else:
            merged.append(segment)
    return merged


def split_rollups(info: SeriesInfo, rows: Buckets, pages: Iterable[PageId]) -> dict[PageId, Page]:
    """Return pages of the rollups of one series."""
    return {page: RollupPage.of(rows.take(_range(rows.step, *_steps(rows_of(info, page))))) for page in pages}


def split_points(info: SeriesInfo, rows: PointRows, pages: Iterable[PageId]) -> dict[PageId, Page]:
    """Return pages of the points of one series."""
    return {page: PointPage.of(rows.take(_range(rows.step, *_steps(rows_of(info, page))))) for page in pages}


def assemble(reads: Sequence[SeriesRead], pages: Sequence[Mapping[PageId, Page]], decoder: RowDecoder) -> Buckets:
    """Return the buckets of reads, whose owners are their indexes, from the pages of each."""
    shifts = np.array([read.shift for read in reads])
    rollups: list[Buckets] = []
    points: list[PointRows] = []
    for owner, (read, own) in enumerate(zip(reads, pages, strict=True)):
        for segment in read.segments:
            first, last = _steps(segment)
            for page in (own[each] for each in _pages(read.info, segment)):
                if isinstance(page, PointPage):
                    points.append(page.between(owner, first, last))
                else:
                    rows = page.between(first, last)
                    rollups.append(rows.owned(np.full(len(rows), owner)))
    parts = [widen(concatenate(rollups), shifts)]
    if points:
        parts.append(decoder.to_buckets(_joined(points), shifts))
    return widen(concatenate(parts), shifts)


def _joined(parts: Sequence[PointRows]) -> PointRows:
    owner, step, value, time = zip(*parts, strict=True)
    times = None if time[0] is None else np.concatenate(time)
    return PointRows(np.concatenate(owner), np.concatenate(step), np.concatenate(value), times)


def _steps(segment: Segment) -> tuple[int, int]:
    """Return the first and the last step of a segment."""
    return segment.first << segment.level, (segment.end << segment.level) - 1


def _range(steps: Int64s, first: int, last: int) -> slice:
    return slice(int(np.searchsorted(steps, first)), int(np.searchsorted(steps, last, "right")))
