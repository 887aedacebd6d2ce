"""Values on the wire: NaN and infinities by name, integers with all their digits, formats that agree."""

from __future__ import annotations

import io

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet

from stepwell_query.encoding import Format, exact_integer, json_bytes, json_floats, table_bytes

TABLE = pa.table({"step": [1, 2], "value": [0.5, float("nan")], "text": ['a,\n"b"', None], "list": [[1], []]})


def test_floats_that_json_lacks_are_named() -> None:
    values = np.array([1.5, np.nan, np.inf, -np.inf])
    assert orjson.loads(json_bytes(json_floats(values))) == [1.5, "NaN", "Infinity", "-Infinity"]


def test_finite_floats_stay_numbers() -> None:
    assert json_bytes(json_floats(np.array([0.1, -0.0]))) == b"[0.1,-0.0]"


def test_large_integers_keep_their_digits() -> None:
    assert json_bytes({"n": exact_integer("123456789012345678901234567890")}) == b'{"n":123456789012345678901234567890}'


def test_rows_as_json_and_ndjson() -> None:
    rows = orjson.loads(table_bytes(TABLE, Format.JSON))
    assert rows[1] == {"step": 2, "value": "NaN", "text": None, "list": []}
    assert [orjson.loads(line) for line in table_bytes(TABLE, Format.NDJSON).splitlines()] == rows


def test_arrow_and_parquet_give_the_table_back() -> None:
    arrow = pa.ipc.open_stream(table_bytes(TABLE, Format.ARROW)).read_all()
    parquet = pyarrow.parquet.read_table(io.BytesIO(table_bytes(TABLE, Format.PARQUET)))
    for table in (arrow, parquet):
        assert table.column("step").to_pylist() == [1, 2]
        assert table.column("text").to_pylist() == TABLE.column("text").to_pylist()


def test_csv_has_a_header_and_json_for_lists() -> None:
    assert table_bytes(TABLE, Format.CSV).splitlines()[0] == b'"step","value","text","list"'
    assert b'"[1]"' in table_bytes(TABLE, Format.CSV)


def test_repeated_column_names_are_told_apart() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert orjson.loads(table_bytes(table, Format.JSON)) == [{"a": 1, "a_2": 2}]


def test_types_that_csv_and_parquet_lack_are_texts() -> None:
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 0]), pa.array(["", "x"])])
    table = pa.table({"bytes": [b"\xff", None], "union": union, "empty": pa.array([{}, None], pa.struct([]))})
    assert table_bytes(table, Format.CSV).decode().splitlines()[1:] == ['"\ufffd","1","{}"', ',"""x""","null"']
    parquet = pyarrow.parquet.read_table(io.BytesIO(table_bytes(table, Format.PARQUET)))
    assert parquet.column("bytes").to_pylist() == [b"\xff", None]
    assert parquet.column("union").to_pylist() == ["1", '"x"']
    assert parquet.column("empty").to_pylist() == ["{}", None]
