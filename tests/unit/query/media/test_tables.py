from __future__ import annotations

import io
import json
import math
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_query.encoding import json_bytes
from stepwell_query.errors import RequestError
from stepwell_query.media.tables import TableRequest, read_table, table_page

MARKS = {"columns": {"image": "media", "any": "json"}}


def a_table() -> pa.Table:
    """Return a table with cells of many types, as the SDK writes them."""
    table = pa.table(
        {
            "id": [3, 1, 2, None],
            "name": ["Ab", "b", "ab", "c"],
            "score": [0.5, math.nan, 0.1, 0.5],
            "parts": [[1, 2], [], None, [3]],
            "image": ['{"kind": "image", "sha256": "x"}', None, None, None],
            "any": ['{"a": 1}', '"text"', "12345678901234567890123", None],
            "nothing": pa.nulls(4),
        }
    )
    return table.replace_schema_metadata({b"stepwell": json.dumps(MARKS).encode()})


def page(table: pa.Table, **asked: Any) -> dict[str, Any]:
    """Return a page as a browser reads it."""
    found: dict[str, Any] = orjson.loads(json_bytes(table_page(table, TableRequest(**asked))))
    return found


def test_a_page_has_the_cells_as_they_were_logged() -> None:
    found = page(a_table(), limit=2)
    assert [column["type"] for column in found["columns"]][:3] == ["int64", "string", "double"]
    assert [column["type"] for column in found["columns"]][4:6] == ["media", "json"]
    assert found["rows"][0] == [3, "Ab", 0.5, [1, 2], {"kind": "image", "sha256": "x"}, {"a": 1}, None]
    assert found["rows"][1][2] == "NaN"
    assert (found["found"], found["total"], found["offset"]) == (4, 4, 0)


@pytest.mark.parametrize(("descending", "ids"), [(False, [1, 2, 3, None]), (True, [3, 2, 1, None])])
def test_rows_are_sorted_and_those_without_a_value_come_last(descending: bool, ids: list[int | None]) -> None:
    found = page(a_table(), sort="id", descending=descending)
    assert [row[0] for row in found["rows"]] == ids


@pytest.mark.parametrize("column", ["parts", "image", "any", "nothing", "score", "name"])
def test_any_column_can_be_sorted_by(column: str) -> None:
    assert page(a_table(), sort=column)["found"] == 4


def test_a_search_finds_text_in_any_case_and_column() -> None:
    assert [row[1] for row in page(a_table(), search="AB")["rows"]] == ["Ab", "ab"]
    assert page(a_table(), search="0.5")["found"] == 2
    assert page(a_table(), search="0.5", column="name")["found"] == 0
    assert page(a_table(), search="\\")["found"] == 0


def test_a_column_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(RequestError) as caught:
        page(a_table(), sort="nowhere")
    assert (caught.value.field, caught.value.value) == ("sort", "nowhere")
    assert all(name in caught.value.remedy for name in a_table().column_names)


@given(st.lists(st.integers(-5, 5), max_size=40), st.integers(1, 7), st.booleans())
def test_pages_together_are_the_whole_in_order(values: list[int], limit: int, descending: bool) -> None:
    table = pa.table({"value": pa.array(values, pa.int64()), "row": pa.array(range(len(values)), pa.int64())})
    rows: list[list[int]] = []
    for offset in range(0, len(values), limit):
        rows += page(table, offset=offset, limit=limit, sort="value", descending=descending)["rows"]
    expected = sorted(enumerate(values), key=lambda pair: (-pair[1] if descending else pair[1], pair[0]))
    assert rows == [[value, row] for row, value in expected]


def test_only_parquet_is_a_table() -> None:
    with pytest.raises(RequestError) as caught:
        read_table(b"not parquet")
    assert caught.value.field == "sha256"
    file = io.BytesIO()
    pq.write_table(a_table(), file)
    assert read_table(file.getvalue()).num_rows == 4
