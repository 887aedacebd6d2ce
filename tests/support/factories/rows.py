"""Values by key and step for tests that build rows from them, and hypothesis strategies that draw them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.rows.step_rows import Values
from stepwell_schemas.rules.kinds import Kind

LARGE: Final = 2**80 + 1
_TEXTS: Final = ["", "x", "NaN", 'say "no", \\ and\nmore', "\x00\x1f", "ü📉", "[1]"]
_DOCUMENTS: Final = ["[1, null]", f'{{"a":{10**40}}}', '"NaN"', "no JSON"]
_BLOCK: Final = 5
_TYPES: Final = {Kind.NUMBER: pa.float64(), Kind.BOOL: pa.bool_()}


class Point(NamedTuple):
    """A value with its series and step; a number that is an `int` has exact digits."""

    series: int
    step: int
    value: Any


def info(key: str, kind: Kind = Kind.NUMBER) -> SeriesInfo:
    """Return a series with an arbitrary extent."""
    return SeriesInfo(key, kind, 0, 0, 0, rewritten=False)


def step_time(step: int) -> int:
    """Return the timestamp of a step in milliseconds: later for later steps, and exact in seconds."""
    return min(step, 10**9) * 1_000


def tables_of(series: Sequence[SeriesInfo], points: Sequence[Point]) -> list[Values]:
    """Return values as readers get them: each kind in small tables; a value's version is its index in `points`."""
    tables = []
    for kind in dict.fromkeys(info.kind for info in series):
        chosen = [(version, point) for version, point in enumerate(points) if series[point.series].kind is kind]
        tables += [_table(kind, chosen[start : start + _BLOCK]) for start in range(0, len(chosen), _BLOCK)]
    return tables


def points_of(table: Values, points: Sequence[Point]) -> list[Point]:
    """Return the points from which a table was built."""
    assert table.version is not None
    return [points[version] for version in table.version.tolist()]


def _table(kind: Kind, chosen: list[tuple[int, Point]]) -> Values:
    values = [point.value for _, point in chosen]
    exact = [str(value) if type(value) is int else "" for value in values]
    if kind is Kind.NUMBER:
        values = [float(value) for value in values]
    return Values(
        series=np.array([point.series for _, point in chosen], np.int64),
        step=np.array([point.step for _, point in chosen], np.int64),
        time=np.array([step_time(point.step) for _, point in chosen], np.int64),
        value=pa.array(values, _TYPES.get(kind, pa.string())),
        version=np.array([version for version, _ in chosen], np.uint64),
        exact=pa.array(exact, pa.string()) if kind is Kind.NUMBER else None,
    )


_VALUES: Final[dict[Kind, st.SearchStrategy[Any]]] = {
    Kind.NUMBER: st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, LARGE, -LARGE]),
    Kind.BOOL: st.booleans(),
    Kind.STRING: st.sampled_from(_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    Kind.OTHER: st.sampled_from(_DOCUMENTS),
    Kind.IMAGE: st.just('{"sha256":"00"}'),
}
# Steps that are close, and steps so far apart that an array over all of them does not fit into memory.
_STEPS: Final = st.integers(0, 12) | st.sampled_from([10**6, 10**12, 2**62])


@st.composite
def drawn_series(draw: st.DrawFn) -> list[SeriesInfo]:
    """Draw up to six series, some of them of one key."""
    names = draw(
        st.lists(
            st.tuples(st.sampled_from(["a", "b", "c/ü", "_step"]), st.sampled_from(list(_VALUES))),
            unique=True,
            min_size=1,
            max_size=6,
        )
    )
    return [info(key, kind) for key, kind in sorted(names)]


@st.composite
def drawn_points(draw: st.DrawFn, series: Sequence[SeriesInfo], steps: st.SearchStrategy[int] = _STEPS) -> list[Point]:
    """Draw values of series, each series and step once, in the order of logging."""
    places = draw(
        st.lists(st.tuples(st.integers(0, len(series) - 1), steps), unique=True, max_size=40).map(
            lambda found: found[::-1]
        )
    )
    return [Point(index, step, draw(_VALUES[series[index].kind])) for index, step in places]
