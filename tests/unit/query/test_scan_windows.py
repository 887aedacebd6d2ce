"""The windows of a scan cover every bucket once, in order, and hold no more than they may."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.scan import windows

counts = st.lists(st.tuples(st.integers(0, 1_000), st.integers(1, 50)), unique_by=lambda pair: pair[0], max_size=60)


@given(counts, st.integers(0, 20), st.integers(1, 200))
def test_windows_cover_all_buckets_once(pairs: list[tuple[int, int]], shift: int, most: int) -> None:
    pairs = sorted(pairs)
    extent = (0, 1_001 << shift)
    found = list(windows(pairs, shift, extent, most))
    assert sum(window.values for window in found) == sum(count for _, count in pairs)
    for bucket, _ in pairs:
        inside = [window for window in found if window.first <= bucket << shift and window.last >= (bucket << shift)]
        assert len(inside) == 1
    for before, after in pairwise(found):
        assert before.last < after.first
    for window in found:
        assert window.values <= most or window.last - window.first < 1 << shift


@given(st.integers(1, 12), st.integers(0, 5_000), st.integers(0, 5_000))
def test_windows_stay_within_the_extent(shift: int, one: int, other: int) -> None:
    low, high = sorted((one, other))
    pairs = [(bucket, 1) for bucket in range(low >> shift, (high >> shift) + 1)]
    found = list(windows(pairs, shift, (low, high), most=3))
    assert found[0].first == low
    assert found[-1].last == high


def test_only_a_lone_bucket_of_several_steps_can_be_divided() -> None:
    assert [window.divisible for window in windows([(0, 9), (1, 1), (2, 1)], 4, (0, 47), 5)] == [True, False]
    assert [window.divisible for window in windows([(0, 9)], 0, (0, 0), 5)] == [False]
