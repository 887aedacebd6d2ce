"""Rows of several writers, against a model in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.catalog.models import Selection, SeriesInfo
from stepwell_query.catalog.writers import EVERY
from stepwell_query.rows.format_arrow import wide_schema, wide_table
from stepwell_query.rows.format_json import wide_lines
from stepwell_query.rows.step_rows import StepRows
from stepwell_query.rows.writer_rows import build_rows
from support.factories.rows import Point, info, tables_of
from support.readers.writer_rows import Value, model_rows

SERIES = [(writer, key) for writer in ("", "rank0", "rank2", "rank10") for key in ("a", "b", "c")]
NUMBERS = st.dictionaries(st.tuples(st.sampled_from(SERIES), st.integers(0, 4)), st.integers(0, 9), max_size=25)


def rows_of(values: Sequence[Value]) -> StepRows:
    """Return the rows of values of all writers, as a request for all of them gets them."""
    places = list(dict.fromkeys((value.writer, value.key) for value in values))
    series: list[SeriesInfo] = [replace(info(key), writer=writer) for writer, key in places]
    points = [Point(places.index((value.writer, value.key)), value.step, value.number) for value in values]
    selection = Selection(series, [], named=False, others=[], of=EVERY)
    return build_rows(selection, tables_of(series, points), started_ms=0)


def shown(rows: StepRows) -> list[dict[str, Any]]:
    """Return the rows as JSON shows them, without their times."""
    found = [orjson.loads(line) for line in wide_lines(rows).splitlines()]
    return [{name: value for name, value in row.items() if name not in {"_timestamp", "_runtime"}} for row in found]


@given(NUMBERS)
def test_rows_are_those_of_the_model(numbers: dict[tuple[tuple[str, str], int], int]) -> None:
    values = [Value(*series, step, float(number)) for (series, step), number in numbers.items()]
    rows = rows_of(values)
    expected = model_rows(values)
    assert shown(rows) == expected
    assert [row for part in rows.parts(2) for row in shown(part)] == expected
    keys = sorted({value.key for value in values})
    if keys:
        assert shown(rows.with_all_keys()) == model_rows(values, keys)
    table = wide_table(rows, wide_schema(rows.series, with_writers=rows.writers is not None))
    assert table.num_rows == len(expected)
    if rows.writers is not None:
        assert table.schema.field(3) == pa.field("_writer", pa.string())
        assert table.column("_writer").to_pylist() == [row["_writer"] for row in expected]


def test_processes_that_log_different_keys_share_rows() -> None:
    values = [Value("rank0", "a", 0, 1.0), Value("rank1", "b", 0, 2.0), Value("rank1", "b", 1, 3.0)]
    assert shown(rows_of(values)) == [{"_step": 0, "a": 1.0, "b": 2.0}, {"_step": 1, "b": 3.0}]


def test_a_shared_key_has_a_row_for_each_writer() -> None:
    values = [
        Value(writer, key, 0, number)
        for writer, key, number in [
            ("rank0", "loss", 1.0), ("rank1", "loss", 2.0), ("rank0", "lr", 3.0), ("eval", "acc", 4.0),
        ]
    ]  # fmt: skip
    assert shown(rows_of(values)) == [
        {"_step": 0, "_writer": "rank0", "loss": 1.0, "lr": 3.0},
        {"_step": 0, "_writer": "rank1", "loss": 2.0},
        {"_step": 0, "_writer": "eval", "acc": 4.0},
    ]
