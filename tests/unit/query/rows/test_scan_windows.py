"""Windows of wide scans: each step is in one of them, none has too many values, and there are few."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.query_limits import QueryLimits
from stepwell_query.rows.scan_cursor import ScanPosition, ScanRange
from stepwell_query.rows.scan_wide import read_windows
from stepwell_query.rows.step_rows import Values
from stepwell_query.rows.value_reader import TooManyValuesError, ValueReader
from stepwell_schemas.rules.kinds import Kind

Extents = list[tuple[int, int]]


class Reader:
    """Stands for a `ValueReader` whose series have a value at each step of their extent, and keeps the windows."""

    def __init__(self, extents: Extents) -> None:
        self.extents = extents
        self.series: list[SeriesInfo] = [
            SeriesInfo(f"k{number}", Kind.NUMBER, first, last, last - first + 1, rewritten=False)
            for number, (first, last) in enumerate(extents)
        ]
        self.limits = QueryLimits(60, 2**40)
        self.read: list[tuple[int, int, int]] = []

    def values(self, _condition: str, *, low: int, high: int, most: int | None = None, **_: Any) -> list[Values]:
        counts = [max(0, min(high, last) - max(low, first) + 1) for first, last in self.extents]
        if most is not None and sum(counts) > most:
            raise TooManyValuesError
        self.read.append((low, high, sum(counts)))
        nothing = np.zeros(sum(counts), np.int64)
        return [Values(nothing, nothing, nothing, pa.nulls(len(nothing), pa.float64()))]


def windows(extents: Extents, most: int) -> list[tuple[int, int, int]]:
    """Return the first and last step of each window, and its number of values."""
    reader = Reader(extents)
    low, high = min(first for first, _ in extents), max(last for _, last in extents)
    span = ScanRange(ScanPosition(step=low), ScanPosition(step=high + 1))
    for _ in read_windows(cast("ValueReader", reader), [span], most):
        pass
    assert (reader.read[0][0], reader.read[-1][1]) == (low, high)
    return reader.read


def test_a_first_window_starts_the_answer_and_few_others_follow() -> None:
    first, *others = [count for _, _, count in windows([(0, 999_999)] * 4, 2_000_000)]
    assert (first, len(others)) == (32_768, 8)
    assert max(others) - min(others) <= 8


def test_the_first_window_of_many_metrics_has_a_granule_of_each() -> None:
    counts = [count for _, _, count in windows([(0, 39_999)] * 100, 2_000_000)]
    assert counts == [819_200, 1_590_400, 1_590_400]
    assert [count for _, _, count in windows([(0, 9_999)] * 400, 2_000_000)] == [2_000_000, 2_000_000]


EXTENTS = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)).map(sorted).map(tuple), min_size=1, max_size=20
)


@given(EXTENTS, st.integers(1, 3_000))
def test_each_step_is_in_one_window_and_none_has_too_many_values(extents: Extents, most: int) -> None:
    found = windows(extents, most)
    assert all(before[1] + 1 == after[0] for before, after in pairwise(found))
    assert all(count <= 2 * most or first == last for first, last, count in found)
