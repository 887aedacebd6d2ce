"""Rows by step against plain dictionaries and a plain pandas pivot: every kind, format and shape."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.encoding import Format, NotFinite, table_bytes
from stepwell_query.rows import format_arrow
from stepwell_query.rows.format_arrow import LONG_SCHEMA, LongTables, column_names, wide_schema, wide_table
from stepwell_query.rows.format_json import long_lines, wide_lines
from stepwell_query.rows.step_rows import RESERVED, StepRows, Values
from stepwell_schemas.rules.kinds import Kind
from support.factories.rows import LARGE, Point, drawn_points, drawn_series, info, points_of, step_time, tables_of

Case = tuple[list[SeriesInfo], list[Point]]
CASES = drawn_series().flatmap(lambda series: st.tuples(st.just(series), drawn_points(series)))


def rows_of(series: list[SeriesInfo], points: list[Point]) -> StepRows:
    return StepRows.from_values(series, tables_of(series, points), started_ms=500)


def table_of(rows: StepRows, *, exact: bool = False) -> pa.Table:
    return wide_table(rows, wide_schema(rows.series, exact=exact), exact=exact)


def as_read(rows: StepRows) -> list[dict[str, Any]]:
    """Return the rows as a client reads them; NaN and the infinities are floats again."""
    return [json.loads(line) for line in wide_lines(rows, NotFinite.LITERAL).split(b"\n")[:-1]]


def in_json(kind: Kind, value: Any) -> Any:
    if kind in {Kind.NUMBER, Kind.STRING, Kind.BOOL}:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (one, math.copysign(1, one)) == (
            other,
            math.copysign(1, other),
        )
    return type(one) is type(other) and bool(one == other)


def has_nan(points: list[Point]) -> bool:
    return any(type(value) is float and math.isnan(value) for _, _, value in points)


@given(CASES)
def test_rows_are_those_of_a_dictionary(case: Case) -> None:
    series, points = case
    expected: dict[int, dict[str, Any]] = {}
    for index, step, value in points:
        key, kind = series[index].key, series[index].kind
        row = expected.setdefault(step, {"_step": step, "_timestamp": step_time(step) / 1_000})
        row["_runtime"] = (step_time(step) - 500) / 1_000
        # A key with two kinds at one step has the value logged later.
        row.pop(key if key not in RESERVED else "", None)
        row[f"{key} ({kind})" if key in RESERVED else key] = in_json(kind, value)
    value_count = as_read(rows_of(series, points))
    assert [row["_step"] for row in value_count] == sorted(expected)
    for row in value_count:
        wanted = expected[row["_step"]]
        assert set(row) == set(wanted)
        assert all(same(row[name], wanted[name]) for name in wanted), (row, wanted)


@given(CASES)
def test_a_wide_table_is_a_plain_pivot(case: Case) -> None:
    series, points = case
    names = column_names(series)
    table = table_of(rows_of(series, points), exact=True)
    assert table.column_names[:3] == ["_step", "_timestamp", "_runtime"]
    assert table.column_names[3 : 3 + len(series)] == names
    flat = pd.DataFrame(
        [(step, names[index], value) for index, step, value in points], columns=["step", "name", "value"], dtype=object
    )
    pivot = flat.pivot(index="step", columns="name", values="value").sort_index() if points else pd.DataFrame()
    logged = {(step, names[index]) for index, step, _ in points}
    assert table.column("_step").to_pylist() == pivot.index.tolist()
    for name, of in zip(names, series, strict=True):
        for step, value_count in zip(table.column("_step").to_pylist(), table.column(name).to_pylist(), strict=True):
            if (step, name) not in logged:
                assert value_count is None
                continue
            wanted = pivot.loc[step, name]
            assert same(value_count, float(wanted) if of.kind is Kind.NUMBER else wanted)
    for name, digits in zip(table.column_names[3 + len(series) :], table.columns[3 + len(series) :], strict=True):
        key = name.rstrip("'").removesuffix(" (exact)")
        wanted = {step: str(v) for i, step, v in points if type(v) is int and series[i].key == key}
        assert dict(zip(table.column("_step").to_pylist(), digits.to_pylist(), strict=True)) == {
            step: wanted.get(step) for step in pivot.index
        }


@given(CASES, st.integers(1, 8))
def test_cells_copied_in_pieces_are_those_copied_one_by_one(case: Case, most: int) -> None:
    for rows in [(whole := rows_of(*case)), *whole.parts(most)]:
        with pytest.MonkeyPatch.context() as patch:
            tables = []
            for values_a_piece in (0, 10**9):
                patch.setattr(format_arrow, "_VALUES_A_PIECE", values_a_piece)
                tables.append(table_of(rows, exact=True))
        assert table_bytes(tables[0], Format.ARROW) == table_bytes(tables[1], Format.ARROW)


def test_long_pieces_of_cells_have_gaps_between_them() -> None:
    series = [info("first"), info("second")]
    steps = np.concatenate([np.arange(700), np.arange(900, 1_500), np.arange(300, 1_400)])
    numbers = np.repeat([0, 1], [1_300, 1_100])
    values = Values(numbers, steps, steps, pa.array(steps + numbers / 2))
    found = table_of(StepRows.from_values(series, [values], 0)).to_pydict()
    there = [set(steps[numbers == number].tolist()) for number in (0, 1)]
    expected = {
        step: tuple(step + number / 2 if step in there[number] else None for number in (0, 1))
        for step in sorted(there[0] | there[1])
    }
    assert dict(zip(found["_step"], zip(found["first"], found["second"], strict=True), strict=True)) == expected


@given(CASES)
def test_a_long_table_has_each_value_as_it_came(case: Case) -> None:
    series, points = case
    tables = tables_of(series, points)
    value_count = LongTables(series).table(tables).to_pylist()
    order = [point for table in tables for point in points_of(table, points)]
    assert [(row["step"], row["key"], row["kind"]) for row in value_count] == [
        (point.step, series[point.series].key, str(series[point.series].kind)) for point in order
    ]
    for row, point in zip(value_count, order, strict=True):
        assert row["timestamp"].timestamp() == step_time(point.step) / 1_000
        if series[point.series].kind is Kind.NUMBER:
            assert same(row["value"], float(point.value))
            assert row["text"] == (str(point.value) if type(point.value) is int else None)
        elif series[point.series].kind is Kind.BOOL:
            assert (row["value"], row["text"]) == (float(point.value), None)
        else:
            assert (row["value"], row["text"]) == (None, point.value)


@given(CASES)
def test_long_lines_are_the_long_table_with_values_of_json(case: Case) -> None:
    series, points = case
    tables = tables_of(series, points)
    lines = long_lines(LongTables(series).table(tables), NotFinite.LITERAL)
    order = [point for table in tables for point in points_of(table, points)]
    value_count = [json.loads(line) for line in lines.split(b"\n")[:-1]]
    for row, (index, step, value) in zip(value_count, order, strict=True):
        assert list(row) == ["key", "kind", "step", "timestamp", "value"]
        assert (row["key"], row["kind"], row["step"]) == (series[index].key, str(series[index].kind), step)
        assert row["timestamp"] == step_time(step) / 1_000
        assert same(row["value"], in_json(series[index].kind, value))


@given(CASES, st.integers(1, 5))
def test_parts_are_the_rows_cut(case: Case, most: int) -> None:
    rows = rows_of(*case)
    parts = list(rows.parts(most))
    assert all(len(part) <= most for part in parts)
    assert b"".join(wide_lines(part) for part in parts) == wide_lines(rows)
    assert pa.concat_tables([table_of(part) for part in parts]).equals(table_of(rows)) or has_nan(case[1])


@given(CASES)
def test_rows_with_all_keys_have_all_keys(case: Case) -> None:
    series, points = case
    keys = {one.key for one in series}
    there: dict[int, set[str]] = {}
    for point in points:
        there.setdefault(point.step, set()).add(series[point.series].key)
    rows = rows_of(series, points).with_all_keys()
    assert rows.steps.tolist() == sorted(step for step, value_count in there.items() if value_count == keys)
    assert rows.values == sum(point.step in set(rows.steps.tolist()) for point in points)


@given(CASES)
def test_the_same_values_give_the_same_bytes_whatever_order_they_are_read_in(case: Case) -> None:
    series, points = case
    rows = rows_of(series, points)
    turned = StepRows.from_values(series, [table.take(np.arange(len(table.step))[::-1]) for table in rows.tables], 500)
    assert wide_lines(turned) == wide_lines(rows)
    assert table_of(turned).equals(table_of(rows)) or has_nan(points)


def test_every_kind_is_written_as_it_is() -> None:
    series = [info("n"), info("s", Kind.STRING), info("b", Kind.BOOL), info("o", Kind.OTHER), info("i", Kind.IMAGE)]
    points = [
        Point(0, 1, math.nan),
        Point(1, 1, 'a "b",\n'),
        Point(2, 1, True),
        Point(3, 1, f'[1,{{"a":{LARGE}}}]'),
        Point(4, 1, '{"sha256":"00"}'),
        Point(0, 2, LARGE),
    ]
    first, second = wide_lines(rows_of(series, points)).decode().split("\n")[:-1]
    assert first == (
        '{"_step":1,"_timestamp":1.0,"_runtime":0.5,"n":"NaN","s":"a \\"b\\",\\n","b":true,'
        f'"o":[1,{{"a":{LARGE}}}],"i":{{"sha256":"00"}}}}'
    )
    assert second == f'{{"_step":2,"_timestamp":2.0,"_runtime":1.5,"n":{LARGE}}}'


@pytest.mark.parametrize(("odd", "written"), [(NotFinite.TEXT, '"-Infinity"'), (NotFinite.LITERAL, "-Infinity")])
def test_infinities_are_written_as_asked(odd: NotFinite, written: str) -> None:
    series, points = [info("n")], [Point(0, 1, -math.inf)]
    assert f'"n":{written}}}' in wide_lines(rows_of(series, points), odd).decode()
    table = LongTables(series).table(tables_of(series, points))
    assert f'"value":{written}}}' in long_lines(table, odd).decode()


def test_of_two_kinds_at_one_step_the_later_logged_holds() -> None:
    series = [info("k"), info("k", Kind.STRING)]
    points = [Point(1, 0, "before"), Point(0, 0, 0.5), Point(0, 1, 1.0), Point(1, 1, "after")]
    assert [row["k"] for row in as_read(rows_of(series, points))] == [0.5, "after"]
    table = table_of(rows_of(series, points))
    assert table.column_names == ["_step", "_timestamp", "_runtime", "k", "k (string)"]
    assert (table.column("k").to_pylist(), table.column("k (string)").to_pylist()) == ([0.5, 1.0], ["before", "after"])


def test_a_key_that_is_a_rows_own_field_does_not_hide_it() -> None:
    rows = rows_of([info("_step")], [Point(0, 7, 1.0)])
    assert as_read(rows)[0] == {"_step": 7, "_timestamp": 7.0, "_runtime": 6.5, "_step (number)": 1.0}
    assert column_names(rows.series) == ["_step (number)"]


def test_no_values_make_no_rows() -> None:
    rows = rows_of([info("a"), info("b", Kind.STRING)], [])
    assert (len(rows), wide_lines(rows), table_of(rows).num_rows, len(rows.with_all_keys())) == (0, b"", 0, 0)
    assert long_lines(LONG_SCHEMA.empty_table()) == b""
