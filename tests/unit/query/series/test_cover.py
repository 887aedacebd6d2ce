"""The cover of a range: each step once, closed buckets alone, and few rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.series.math.bucketing import bucket_shift
from stepwell_query.series.segments import POINTS, Segment, split_range
from stepwell_schemas.limits import MAX_STEP
from stepwell_schemas.rollups.sql import LEVEL_BITS, LEVELS, closed, level_for

steps = st.one_of(st.integers(0, 1_000), st.integers(0, 10**6), st.integers(0, 2**40), st.integers(0, MAX_STEP))


@st.composite
def ranges(draw: st.DrawFn) -> tuple[int, int, int]:
    """Return low, high and last step, the range within the series."""
    low, high, last = sorted((draw(steps), draw(steps), draw(steps)))
    return low, draw(st.sampled_from([high, last])), last


@given(ranges(), st.sampled_from([POINTS, *LEVELS]))
def test_segments_hold_each_step_once_and_closed_buckets_alone(extent: tuple[int, int, int], level: int) -> None:
    low, high, last = extent
    segments = split_range(low, high, last, level)
    reached = low
    for segment in segments:
        assert segment.first << segment.level == reached
        assert segment.first < segment.end
        reached = segment.end << segment.level
        if segment.level != POINTS:
            assert segment.level in LEVELS
            assert segment.end <= closed(segment.level, last)
    assert reached == high + 1


@given(ranges(), st.sampled_from([POINTS, *LEVELS]))
def test_a_level_has_two_segments_at_most_and_those_below_are_short(extent: tuple[int, int, int], level: int) -> None:
    segments = split_range(*extent, level)
    for below in (POINTS, *LEVELS):
        here = [segment for segment in segments if segment.level == below]
        assert len(here) <= 2
        if below != level:
            limit = 2 << (LEVEL_BITS if below else LEVELS[0])
            assert all(segment.end - segment.first < limit for segment in here)
            assert all(len(segment.parents) <= 3 for segment in here)


@given(ranges(), st.sampled_from(LEVELS), steps)
def test_below_a_boundary_of_retention_no_point_is_read(
    extent: tuple[int, int, int], level: int, boundary: int
) -> None:
    low, high, last = extent
    removed_to = boundary >> LEVELS[0] << LEVELS[0]
    low = low >> LEVELS[0] << LEVELS[0]
    high = high if high >= removed_to else high | (1 << LEVELS[0]) - 1
    segments = split_range(low, high, last, level, removed_to)
    reached = low
    for segment in segments:
        assert segment.first << segment.level == reached
        reached = segment.end << segment.level
        if segment.level == POINTS:
            assert segment.first >= removed_to
        elif segment.level != LEVELS[0]:
            assert segment.end <= closed(segment.level, last)
    assert reached == high + 1


@given(ranges(), st.integers(1, 10_000))
def test_a_view_reads_a_bounded_number_of_rows_for_each_of_its_points(
    extent: tuple[int, int, int], points: int
) -> None:
    low, high, _ = extent
    shift = bucket_shift(low, high, points)
    level = level_for(shift)
    if level is None:
        return
    rows = sum(segment.end - segment.first for segment in split_range(*extent, level))
    widths = 2 ** (shift - level)
    # 32 for each bucket below the widest level, whose buckets a view of more than 2^32 steps a point would exceed.
    assert rows <= points * widths + 2 * (len(LEVELS) * 32 + 128)
    assert widths < 32 or level == LEVELS[-1]


def test_the_cover_of_a_long_run() -> None:
    last = 99_999_999
    assert split_range(0, last, last, 17) == (
        Segment(17, 0, 762),
        Segment(12, 24_384, 24_414),
        Segment(7, 781_248, 781_249),
        Segment(POINTS, 99_999_872, 100_000_000),
    )
    assert split_range(100, 5_000, last, 7) == (
        Segment(POINTS, 100, 128),
        Segment(7, 1, 39),
        Segment(POINTS, 4_992, 5_001),
    )
    assert split_range(5, 4, last, 7) == ()


def test_what_is_open_is_read_from_points() -> None:
    assert split_range(0, 100, 127, 7) == (Segment(POINTS, 0, 101),)
    assert split_range(0, 127, 127, 7) == (Segment(POINTS, 0, 128),)
    assert split_range(0, 127, 128, 7) == (Segment(7, 0, 1),)
