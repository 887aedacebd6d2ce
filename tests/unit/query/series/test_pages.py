"""Pages of rows: which ones a read needs, what they hold, and how long they are kept."""

from __future__ import annotations

import numpy as np
import pytest

from stepwell_query.catalog.models import Activity, SeriesInfo
from stepwell_query.series.known_rows import Known, KnownRows, SeriesVersion
from stepwell_query.series.math.buckets import Buckets, from_points
from stepwell_query.series.pages import (
    PAGE_ROWS,
    PageId,
    PointPage,
    RollupPage,
    count_pages,
    merge,
    pages_of,
    rows_of,
)
from stepwell_query.series.read_plan import SeriesRead
from stepwell_query.series.row_decoder import PointRows
from stepwell_query.series.segments import POINTS, Segment
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

RUN = RunPath("e", "p", "r")
LAST = 999_999


def info(rows: int = LAST + 1, last: int = LAST) -> SeriesInfo:
    return SeriesInfo("loss", Kind.NUMBER, 0, last, rows, False)


def points(*steps: int) -> PointRows:
    at = np.array(steps, np.int64)
    return PointRows(np.zeros(len(at), np.int64), at, np.sin(at, dtype=np.float64), None)


@pytest.mark.parametrize("shift", [0, 7, 10, 12, 17])
@pytest.mark.parametrize(("low", "high"), [(0, LAST), (1, LAST), (450_123, 550_122), (77, 77), (128, 255)])
def test_the_pages_of_a_read_hold_all_of_its_rows(shift: int, low: int, high: int) -> None:
    read = SeriesRead(RUN, info(), low, high, shift)
    pages = pages_of(read)
    assert len(pages) <= count_pages(read)
    held = [rows_of(read.info, page) for page in pages]
    assert all(segment.end - segment.first == PAGE_ROWS for segment in held)
    for level, first, end in read.segments:
        for row in {first, end - 1}:
            assert any(each.level == level and each.first <= row < each.end for each in held)


def test_a_short_series_is_one_page_of_points() -> None:
    sparse = info(rows=500, last=2**40)
    assert pages_of(SeriesRead(RUN, sparse, 0, 2**40, 0)) == [PageId(POINTS, 0)]
    assert rows_of(sparse, PageId(POINTS, 0)) == Segment(POINTS, 0, 2**63)
    assert count_pages(SeriesRead(RUN, info(10_000, 2**40), 0, 2**40, 0)) > 2**28


def test_pages_side_by_side_are_one_range() -> None:
    own = info()
    pages = [PageId(7, 2), PageId(7, 1), PageId(POINTS, 1), PageId(7, 4), PageId(7, 1)]
    assert merge(rows_of(own, page) for page in pages) == [
        Segment(POINTS, PAGE_ROWS, 2 * PAGE_ROWS),
        Segment(7, PAGE_ROWS, 3 * PAGE_ROWS),
        Segment(7, 4 * PAGE_ROWS, 5 * PAGE_ROWS),
    ]


def test_a_page_of_points_has_those_of_any_range_within_it() -> None:
    page = PointPage.of(points(10, 11, 2**40, 2**40 + 5))
    assert page.between(3, 11, 2**40).step.tolist() == [11, 2**40]
    assert page.between(3, 11, 2**40).owner.tolist() == [3, 3]
    assert page.between(0, 12, 2**40 - 1).step.tolist() == []
    assert PointPage.of(points()).between(0, 0, 2**63 - 1).step.tolist() == []
    dense = PointPage.of(points(*range(PAGE_ROWS, 2 * PAGE_ROWS)))
    assert dense.offsets.itemsize + dense.values.itemsize == 10


def test_a_page_of_rollups_takes_no_memory_for_columns_of_one_number() -> None:
    steps = np.arange(4 * 128)
    rows = from_points(np.zeros(512, np.int64), steps, np.where(steps < 128, 0.0, -0.0), None, np.array([7]), False)
    page = RollupPage.of(rows)
    kept = page.between(0, 511)
    for name in ("owner", "step", "last", "min", "max", "total", "finite_count", "nan_count", "count"):
        assert getattr(kept, name).tobytes() == getattr(rows, name).tobytes(), name
    assert page.rows.size < rows.size
    assert len(page.between(128, 511)) == 3
    assert len(RollupPage.of(Buckets.empty()).between(0, 511)) == 0


def version(offset: int) -> SeriesVersion:
    return SeriesVersion(RUN, Activity(LAST, offset, 1, 1, 0, 1), info(), (False, False))


def test_pages_are_known_at_the_progress_at_which_they_were_read() -> None:
    known = KnownRows(MIB)
    page = PointPage.of(points(1, 2))
    known.keep(version(1), {PageId(POINTS, 0): page})
    assert known.pages(version(1), [PageId(POINTS, 0), PageId(POINTS, 1)]) == {PageId(POINTS, 0): page}
    assert known.pages(version(2), [PageId(POINTS, 0)]) == {}


def test_pages_are_forgotten_after_a_while() -> None:
    now = [0.0]
    known = KnownRows(MIB, lambda: now[0])
    known.keep(version(1), {PageId(POINTS, 0): PointPage.of(points(1))})
    now[0] = 29.0
    assert known.pages(version(1), [PageId(POINTS, 0)])
    now[0] = 31.0
    assert not known.pages(version(1), [PageId(POINTS, 0)])


def test_no_pages_are_kept_without_memory_for_them() -> None:
    assert Known.of_size(0).rows.of({}) is None
    assert Known.of_size(MIB).rows.of({}) is not None
