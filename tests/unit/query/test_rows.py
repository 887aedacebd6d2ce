"""Rows by step against a plain dictionary: kinds, later values, missing cells, exact digits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.catalog import SeriesInfo
from stepwell_query.encode import json_lines
from stepwell_query.rows import StepRows, Values, column_names
from stepwell_schemas.kinds import Kind


def info(key: str, kind: Kind = Kind.NUMBER) -> SeriesInfo:
    return SeriesInfo(key, kind, 0, 0, 0, rewritten=False)


def values(points: list[tuple[int, int, Any]], dtype: pa.DataType, exact: list[str] | None = None) -> Values:
    """Return values of (series, step, value); a value's time is its step in seconds, its version its place."""
    return Values(
        series=np.array([point[0] for point in points], np.int64),
        step=np.array([point[1] for point in points], np.int64),
        time=np.array([point[1] * 1_000 for point in points], np.int64),
        version=np.arange(len(points), dtype=np.uint64),
        value=pa.chunked_array([pa.array([point[2] for point in points], dtype)]),
        exact=None if exact is None else pa.chunked_array([pa.array(exact, pa.string())]),
    )


def as_read(rows: StepRows) -> list[dict[str, Any]]:
    return [json.loads(line) for line in json_lines(rows.as_json()).splitlines()]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 20), st.floats(allow_nan=False, allow_infinity=False)), max_size=60
    )
)
def test_rows_are_those_of_a_dictionary(points: list[tuple[int, int, float]]) -> None:
    series = [info(name) for name in "abcd"]
    expected: dict[int, dict[str, Any]] = {}
    for index, step, value in points:
        expected.setdefault(step, {})[series[index].key] = value
    found = StepRows(series, [values(points, pa.float64())] if points else [], started_ms=0)
    assert [row["_step"] for row in as_read(found)] == sorted(expected)
    for row in as_read(found):
        assert {key: row[key] for key in row if not key.startswith("_")} == expected[row["_step"]]
        assert row["_timestamp"] == row["_runtime"] == row["_step"]
    table = found.as_table().to_pylist()
    assert [{key: row[key] for key in "abcd" if row[key] is not None} for row in table] == [
        expected[step] for step in sorted(expected)
    ]


def test_every_kind_is_written_as_it_is() -> None:
    series = [info("n"), info("s", Kind.STRING), info("b", Kind.BOOL), info("o", Kind.OTHER), info("i", Kind.IMAGE)]
    tables = [
        values([(0, 1, float("nan")), (0, 2, 2.0**60)], pa.float64(), ["", "1152921504606846977"]),
        values([(1, 1, "[1]")], pa.string()),
        values([(2, 1, True)], pa.bool_()),
        values([(3, 1, '[1,{"a":12345678901234567890123}]')], pa.string()),
        values([(4, 1, '{"sha256":"00"}')], pa.string()),
    ]
    first, second = as_read(StepRows(series, tables, started_ms=0))
    assert (first["n"], first["s"], first["b"], first["i"]) == ("NaN", "[1]", True, {"sha256": "00"})
    assert first["o"] == [1, {"a": 12345678901234567890123}]
    assert second["n"] == 1152921504606846977


def test_of_two_kinds_at_one_step_the_later_logged_holds() -> None:
    series = [info("k"), info("k", Kind.STRING)]
    number, text = values([(0, 1, 1.0)], pa.float64()), values([(1, 0, "before"), (1, 1, "after")], pa.string())
    assert as_read(StepRows(series, [text, number], started_ms=0))[1]["k"] == "after"
    table = StepRows(series, [text, number], started_ms=0).as_table()
    assert table.column_names == ["_step", "_timestamp", "_runtime", "k", "k (string)"]
    assert table.column("k").to_pylist() == [None, 1.0]


def test_a_key_that_is_a_rows_own_field_does_not_hide_it() -> None:
    series = [info("_step")]
    rows = StepRows(series, [values([(0, 7, 1.0)], pa.float64())], started_ms=0)
    assert as_read(rows)[0] == {"_step": 7, "_timestamp": 7.0, "_runtime": 7.0, "_step (number)": 1.0}
    assert column_names(series) == ["_step (number)"]


def test_rows_with_all_keys() -> None:
    series = [info("a"), info("b"), info("b", Kind.STRING)]
    tables = [
        values([(0, 1, 1.0), (0, 2, 2.0), (1, 2, 5.0), (0, 3, 3.0)], pa.float64()),
        values([(2, 3, "x")], pa.string()),
    ]
    rows = as_read(StepRows(series, tables, started_ms=0).with_all_keys())
    assert [(row["_step"], row["a"], row["b"]) for row in rows] == [(2, 2.0, 5.0), (3, 3.0, "x")]
