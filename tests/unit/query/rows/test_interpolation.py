"""Interpolation against pandas and numpy, and its rules for ends, NaN, infinities and other kinds."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.encoding import NotFinite
from stepwell_query.rows.format_arrow import wide_schema, wide_table
from stepwell_query.rows.format_json import wide_lines
from stepwell_query.rows.interpolation import Interpolation, fill_gaps, linear, series_with_gaps
from stepwell_query.rows.step_rows import StepRows
from stepwell_schemas.rules.kinds import Kind
from support.factories.rows import LARGE, Point, drawn_points, drawn_series, info, tables_of

Numbers = dict[int, float]
FINITE = st.floats(-1e9, 1e9)
SERIES = st.dictionaries(st.integers(0, 40), FINITE, max_size=12)
CASES = drawn_series().flatmap(lambda series: st.tuples(st.just(series), drawn_points(series, st.integers(0, 30))))


def around(points: list[Point], steps: list[int]) -> list[Point]:
    """Return the points that the store gives: the first and last of each series between each two steps."""
    groups: dict[tuple[int, int], list[Point]] = {}
    for point in sorted(points, key=lambda point: point.step):
        groups.setdefault((point.series, bisect_right(steps, point.step)), []).append(point)
    return [point for group in groups.values() for point in (group[0], group[-1])]


def filled_rows(series: list[Any], points: list[Point], chosen: list[int], how: Interpolation) -> StepRows:
    """Return the rows at the chosen steps, of which every one has a value, with what they lack filled."""
    rows = StepRows.from_values(series, tables_of(series, [point for point in points if point.step in chosen]), 0)
    if not len(rows):
        return rows
    wanted = {info.key for info in series_with_gaps(rows, how)}
    near = [point for point in around(points, rows.steps.tolist()) if series[point.series].key in wanted]
    return fill_gaps(rows, tables_of(series, near), how)


def cells(rows: StepRows) -> dict[tuple[str, int], Any]:
    """Return the filled cells of a table, by column and step."""
    table = wide_table(rows, wide_schema(rows.series, filled=True), filled=True)
    marks = [name for name in table.column_names if name.endswith(" (interpolated)")]
    steps = table.column("_step").to_pylist()
    value_count = {}
    for mark in marks:
        name = mark.removesuffix(" (interpolated)")
        for step, value, filled in zip(
            steps, table.column(name).to_pylist(), table.column(mark).to_pylist(), strict=True
        ):
            if filled:
                value_count[name, step] = value
    return value_count


@given(SERIES, SERIES)
def test_linear_is_what_numpy_and_pandas_say(a: Numbers, b: Numbers) -> None:
    series = [info("a"), info("b")]
    points = [Point(0, step, value) for step, value in a.items()] + [Point(1, step, v) for step, v in b.items()]
    steps = sorted({*a, *b})
    value_count = cells(filled_rows(series, points, steps, Interpolation.LINEAR))
    frame = pd.DataFrame({"a": a, "b": b}, index=steps, dtype=float)
    expected = frame.interpolate("index", limit_area="inside") if len(frame) else frame
    for name, known in (("a", a), ("b", b)):
        inside = [step for step in steps if step not in known and known and min(known) < step < max(known)]
        assert [step for of, step in value_count if of == name] == inside
        for step in inside:
            assert value_count[name, step] == pytest.approx(expected.loc[step, name], rel=1e-12, abs=1e-6)
            at = sorted(known)
            assert value_count[name, step] == pytest.approx(np.interp(step, at, [known[one] for one in at]), abs=1e-6)


@given(CASES)
def test_last_is_a_forward_fill_of_any_kind(case: tuple[list[Any], list[Point]]) -> None:
    series, points = case
    steps = sorted({point.step for point in points})
    rows = filled_rows(series, points, steps, Interpolation.LAST)
    table = wide_table(rows, wide_schema(series, filled=True), filled=True)
    for index, name in enumerate(table.column_names[3 : 3 + len(series)]):
        known = {point.step: point.value for point in points if point.series == index}
        column = table.column(name).to_pylist()
        marks = table.column(table.schema.names[3 + len(series) + index]).to_pylist()
        for step, value, mark in zip(steps, column, marks, strict=True):
            before = [one for one in known if one <= step]
            assert mark == (step not in known and bool(before))
            if before:
                wanted = known[max(before)]
                wanted = float(wanted) if series[index].kind is Kind.NUMBER else wanted
                assert value == wanted or (math.isnan(value) and math.isnan(wanted))
            else:
                assert value is None


@given(SERIES, SERIES, st.sets(st.integers(0, 40)))
def test_what_is_filled_depends_on_no_choice_of_rows(a: Numbers, b: Numbers, chosen: set[int]) -> None:
    series = [info("a"), info("b")]
    points = [Point(0, step, value) for step, value in a.items()] + [Point(1, step, v) for step, v in b.items()]
    for how in Interpolation:
        whole = cells(filled_rows(series, points, sorted({*a, *b}), how))
        some = cells(filled_rows(series, points, sorted(chosen & {*a, *b}), how))
        assert some == {place: value for place, value in whole.items() if place[1] in chosen}


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_next_to_what_is_no_finite_number_linear_fills_nothing(odd: float) -> None:
    points = [Point(0, 0, 1.0), Point(0, 4, odd), Point(0, 8, 3.0), Point(0, 12, 5.0)]
    points += [Point(1, step, 0.0) for step in range(13)]
    value_count = cells(filled_rows([info("a"), info("b")], points, list(range(13)), Interpolation.LINEAR))
    assert value_count == {("a", 9): 3.5, ("a", 10): 4.0, ("a", 11): 4.5}


def test_a_line_is_exact_where_it_is_flat_and_finite_where_its_ends_are() -> None:
    at = np.arange(1, 10)
    flat, there = linear(np.array([0, 10]), np.array([0.1, 0.1]), at)
    assert there.all()
    assert set(flat.tolist()) == {0.1}
    steep, _ = linear(np.array([0, 10]), np.array([-1.7e308, 1.7e308]), at)
    assert np.isfinite(steep).all()
    assert steep[4] == 0.0
    far, there = linear(np.array([0, 2**62]), np.array([0.0, 1.0]), np.array([2**61]))
    assert (far[0], there[0]) == (0.5, True)


def test_other_kinds_and_digits() -> None:
    series = [info("n"), info("s", Kind.STRING), info("x")]
    points = [Point(0, 0, LARGE), Point(0, 2, LARGE), Point(1, 0, "a"), Point(2, 0, 0.0), Point(2, 1, 0.0)]
    steps = [0, 1, 2]
    line = filled_rows(series, points, steps, Interpolation.LINEAR)
    assert cells(line) == {("n", 1): float(LARGE)}
    last = wide_lines(filled_rows(series, points, steps, Interpolation.LAST), filled=True).decode().splitlines()
    assert f'"n":{LARGE},"s":"a","x":0.0,"_interpolated":["n","s"]' in last[1]
    assert '"_interpolated":[]' in last[0]


def test_of_two_kinds_of_a_key_a_row_shows_what_was_logged_else_what_is_nearer() -> None:
    series = [info("k"), info("k", Kind.STRING), info("x")]
    points = [Point(0, 3, 1.0), *(Point(2, step, 0.0) for step in range(6)), Point(1, 0, "text")]
    rows = filled_rows(series, points, list(range(6)), Interpolation.LAST)
    value_count = [json.loads(line) for line in wide_lines(rows, NotFinite.LITERAL, filled=True).splitlines()]
    assert [row["k"] for row in value_count] == ["text", "text", "text", 1.0, 1.0, 1.0]
    assert [row["_interpolated"] for row in value_count] == [[], ["k"], ["k"], [], ["k"], ["k"]]
