"""Tables: wandb's arguments, errors that name the offending cell, and the round trip through Parquet."""

from __future__ import annotations

import hashlib
import io
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet as pq

import stepwell
from stepwell.errors import UnstorableError
from stepwell.media import parquet
from support.fakes.keeping import Kept
from support.fakes.torch_like import Tensor

NAN = float("nan")
AWARE = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=2)))


def _reference(found: Mapping[str, Any]) -> Any:
    return dict(found)


def through(table: stepwell.Table) -> tuple[dict[str, Any], list[list[Any]]]:
    """Return a table's reference, and its columns after a round trip."""
    kept = Kept()
    reference = table.take(kept)
    names, columns = parquet.read(kept.content(reference), _reference)
    assert names == reference["columns"]
    return reference, columns


def same(one: Any, other: Any) -> bool:
    """Return whether two cells are equal, NaN and arrays included."""
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, None, -(2**63), 2**63 - 1], "int64"),
        ([2**64 - 1, 0], "uint64"),
        ([2**70, 1], "string"),
        ([2**53 + 1, 0.5], "string"),
        ([1.5, NAN, None, math.inf, -0.0], "double"),
        ([True, False, None], "bool"),
        (["a", "", None, "NaN", "é\n"], "string"),
        ([b"\xff", None], "binary"),
        ([datetime(2026, 1, 2, 3, 4, 5, 678901), None], "timestamp[us]"),
        ([AWARE.astimezone(UTC), None], "timestamp[us, tz=UTC]"),
        ([date(2026, 1, 2), None], "date32[day]"),
        ([time(1, 2, 3), None], "time64[us]"),
        ([timedelta(microseconds=1), None], "duration[us]"),
        ([np.datetime64("2026-01-01T00:00:00.123456789"), None], "timestamp[ns]"),
        ([[1, 2, None], [], None], "list<element: int64>"),
        ([[[1.5], [2.0, NAN]]], "list<element: list<element: double>>"),
        ([["a"], ["NaN"]], "list<element: string>"),
        ([[1, "a"], [True]], "string"),
        ([[1, 2.5], [2**60]], "string"),
        ([[1], [[2]]], "string"),
        ([{"a": 1, "_type": "x"}, {}], "string"),
        ([np.array([1, 2], np.float32), None, np.array([], np.float32)], "list<element: float>"),
        ([np.arange(4).reshape(2, 2), np.array([1.5])], "string"),
        ([None, None], "null"),
        ([], "null"),
    ],
)
def test_cells_come_back_as_they_were(cells: list[Any], kind: str) -> None:
    kept = Kept()
    reference = stepwell.Table(columns=["c"], data=[[cell] for cell in cells]).take(kept)
    data = kept.content(reference)
    assert str(pq.read_schema(io.BytesIO(data)).field("c").type) == kind
    (column,) = parquet.read(data, _reference)[1]
    if cells and isinstance(cells[0], list):
        assert repr(column) == repr(cells)
    else:
        assert len(column) == len(cells)
        assert all(map(same, cells, column))


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.datetimes(timezones=st.none()).map(lambda when: when.isoformat())
)
_CELLS = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner), max_leaves=5
)


@given(st.lists(st.tuples(_CELLS, _CELLS), max_size=6))
def test_any_mix_of_cells_survives(rows: list[tuple[Any, Any]]) -> None:
    _, columns = through(stepwell.Table(columns=["a", "b"], data=rows, allow_mixed_types=True))
    # Floats and integers in one column are floats; the values are the same.
    for place in (0, 1):
        given_cells = [row[place] for row in rows]
        if {type(cell) for cell in given_cells} - {type(None)} == {int, float}:
            assert all(same(one, other) or one == other for one, other in zip(columns[place], given_cells, strict=True))
        else:
            assert repr(columns[place]) == repr(given_cells)


def test_scalars_of_libraries_are_the_values_that_they_hold() -> None:
    row = [
        np.float32(0.5),
        np.int64(3),
        np.True_,
        np.str_("x"),
        np.datetime64("2026-01-02"),
        np.array(7),
        pd.NaT,
        pd.NA,
    ]
    table = stepwell.Table(columns=list("abcdefgh"), data=[row])
    assert table.data == [[0.5, 3, True, "x", date(2026, 1, 2), 7, None, None]]
    assert [column[0] for column in through(table)[1]] == table.data[0]


def test_media_cells_are_references_and_their_files_are_kept() -> None:
    image, sound = stepwell.Image(np.zeros((2, 3), np.uint8)), stepwell.Audio(np.zeros(4), sample_rate=8000)
    table = stepwell.Table(columns=["one", "many", "mixed"], allow_mixed_types=True)
    table.add_data(image, [image, image], sound)
    table.add_data(None, None, 5)
    kept = Kept()
    reference = table.take(kept)
    assert reference["column_types"] == ["image", "list of image", "mixed"]
    data = kept.content(reference)
    metadata = pq.read_schema(io.BytesIO(data)).metadata[b"stepwell"]
    assert json.loads(metadata) == {"columns": {"one": "media", "many": "media", "mixed": "json"}}
    one, many, mixed = parquet.read(data, _reference)[1]
    expected = {"kind": "image", **image.take(kept)}
    assert (one, many) == ([expected, None], [[expected, expected], None])
    assert mixed == [{"kind": "audio", **sound.take(kept)}, 5]
    assert expected["sha256"] in kept.files


def test_foreign_figures_are_taken_as_media() -> None:
    from PIL import Image as Pillow

    table = stepwell.Table(columns=["picture"], data=[[Pillow.new("RGB", (2, 2))]])
    assert through(table)[0]["column_types"] == ["image"]


def test_the_reference_says_what_is_in_it() -> None:
    reference, _ = through(stepwell.Table(columns=["a", 2], data=[[1, "x"], [2.5, None]]))
    del reference["sha256"], reference["size"]
    assert reference == {
        "content_type": "application/vnd.apache.parquet",
        "columns": ["a", "2"],
        "column_types": ["number", "string"],
        "rows": 2,
    }


def test_a_table_is_taken_as_it_is_then() -> None:
    kept, cell = Kept(), [1]
    table = stepwell.Table(columns=["a"], data=[[cell]])
    first = table.take(kept)
    cell.append(2)
    table.add_row([3])
    second = table.take(kept)
    found = [parquet.read(kept.content(one), _reference)[1] for one in (first, second)]
    assert found == [[[[1]]], [[[1, 2], [3]]]]


def test_the_same_table_is_the_same_file() -> None:
    one, other = (through(stepwell.Table(columns=["a"], data=[[1.5], [None]]))[0] for _ in range(2))
    assert one["sha256"] == other["sha256"]


def test_rows_and_columns_as_wandb_has_them() -> None:
    table = stepwell.Table()
    assert table.columns == ["Input", "Output", "Expected"]
    table = stepwell.Table(columns=["a"], rows=[[1], [2]])
    table.add_column("b", np.array([0.5, 1.5]))
    assert list(table.iterrows()) == [(0, [1, 0.5]), (1, [2, 1.5])]
    assert table.get_column("a") == [1, 2]
    column = table.get_column("b", convert_to="numpy")
    assert isinstance(column, np.ndarray)
    assert column.tolist() == [0.5, 1.5]
    frame = table.get_dataframe()
    assert (list(frame.columns), frame["b"].tolist()) == (["a", "b"], [0.5, 1.5])
    made = stepwell.Table(columns=[])
    made.add_column("only", [1, 2])
    assert made.data == [[1], [2]]


def test_columns_are_computed_of_each_row_or_not_at_all() -> None:
    table = stepwell.Table(columns=["x", "y"], data=[[3, 1], [4, 6]])
    table.add_computed_columns(lambda number, row: {"n": number, "d": row["x"] - row["y"]})
    assert (table.columns, table.data) == (["x", "y", "n", "d"], [[3, 1, 0, 2], [4, 6, 1, -2]])
    refused: list[tuple[Any, type[Exception], str]] = [
        (lambda number, row: {str(number): 1}, ValueError, r"row 1 .*\['1'\]"),
        (lambda number, row: {"z": 1, "x": 2}, ValueError, "column 'x'"),
        (lambda number, row: {"ok": 1, "z": number or "first"}, TypeError, "column 'z', row 1: .* number,"),
        (lambda number, row: number, TypeError, "row 0: .* int"),
    ]
    for compute, error, words in refused:
        with pytest.raises(error, match=words):
            table.add_computed_columns(compute)
    assert (table.columns, table.data[0]) == (["x", "y", "n", "d"], [3, 1, 0, 2])
    table.add_data(1, 2, 3, 4)
    empty = stepwell.Table(columns=["x"])
    empty.add_computed_columns(lambda number, row: {"y": 1})
    assert empty.columns == ["x"]


def test_a_column_is_cast_or_left_as_it_was() -> None:
    table = stepwell.Table(columns=["a", "b"], data=[[1, "x"], [2, None]])
    assert table.cast("b", str, optional=True) == "string"
    for name, dtype, optional, words in (
        ("a", str, True, "'a', row 0: .* number,"),
        ("b", str, False, "'b', row 1: .*None"),
    ):
        with pytest.raises(TypeError, match=words):
            table.cast(name, dtype, optional)
    with pytest.raises(ValueError, match=r"'c'.*'a', 'b'"):
        table.cast("c", int)
    table.cast("a", float)
    table.add_data(1.5, None)
    with pytest.raises(TypeError, match=r"'a', row 3: .* string, .* number"):
        table.add_data("y", None)


def test_rows_and_keys_of_other_tables_are_numbers() -> None:
    table = stepwell.Table(columns=["a"], data=[["x"], ["y"]])
    assert (table.get_index(), table.index_ref(1), table.has_been_logged()) == ([0, 1], 1, False)
    table.set_pk("a")
    stepwell.Table(columns=["b"]).set_fk("b", table, "a")
    with pytest.raises(ValueError, match="column 'z'"):
        table.set_pk("z")
    with pytest.raises(ValueError, match="column 'z'"):
        table.set_fk("a", table, "z")
    with pytest.raises(IndexError, match=r"row 2: .* 2 rows"):
        table.index_ref(2)
    table.take(Kept())
    assert table.has_been_logged()


def test_tensors_are_cells() -> None:
    row = [Tensor(1.5, np.float32, requires_grad=True), Tensor([1, 2], np.int32, device="cuda:0"), jnp.array([0.5])]
    table = stepwell.Table(columns=["one", "many", "jax"], data=[row])
    reference, columns = through(table)
    assert reference["column_types"] == ["number", "array", "array"]
    assert columns[0] == [1.5]
    assert same(columns[1][0], np.array([1, 2], np.int32))
    assert same(columns[2][0], np.array([0.5], np.float32))


def test_a_data_frame_becomes_a_table_without_its_index() -> None:
    frame = pd.DataFrame(
        {
            "f": [1.5, NAN],
            "i": pd.array([1, None], "Int64"),
            "s": ["x", None],
            "t": pd.to_datetime(pd.Series(["2026-01-01T00:00:00.000001Z", None])).tolist(),
            "n": np.array([1, 2], "datetime64[ns]"),
            "c": pd.Categorical(["u", "v"]),
            "o": [[1, 2], None],
        },
        index=["first", "second"],
    )
    table = stepwell.Table(dataframe=frame)
    assert table.columns == list(frame.columns)
    columns = through(table)[1]
    assert repr(columns[0]) == "[1.5, nan]"
    assert columns[1:4] == [[1, None], ["x", None], [datetime(2026, 1, 1, microsecond=1, tzinfo=UTC), None]]
    assert columns[4] == [np.datetime64(1, "ns"), np.datetime64(2, "ns")]
    assert columns[5:] == [["u", "v"], [[1, 2], None]]
    assert stepwell.Table(data=frame).data[0][:3] == [1.5, 1, "x"]
    assert stepwell.Table(data=pa.table({"a": [1, 2]})).data == [[1], [2]]
    assert stepwell.Table(columns=["a", "b"], data=np.eye(2)).data == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"columns": ["a", "b"], "data": [[1, 2], [3]]}, ValueError, r"row 1 .* 1 values, .* 2 columns: 'a', 'b'"),
        ({"columns": ["a", "a"]}, ValueError, "column 'a'"),
        ({"columns": [1.5]}, ValueError, "column 1.5"),
        ({"columns": ["a"], "data": [[1], ["x"]]}, TypeError, "column 'a', row 1: .* string, .* number"),
        ({"columns": ["a"], "data": [[1], [True]]}, TypeError, "column 'a', row 1: .* bool, .* number"),
        ({"columns": ["a"], "data": [[None]], "optional": False}, TypeError, "column 'a', row 0: .*None"),
        ({"columns": ["a", "b"], "data": [[None, 1], [1, None]], "optional": [True, False]}, TypeError, "'b', row 1"),
        ({"columns": ["a"], "data": [["x"]], "dtype": int}, TypeError, "column 'a', row 0: .* string, .* number"),
        ({"columns": ["a", "b"], "data": [["x", "y"]], "dtype": [str, np.float32]}, TypeError, "'b', row 0"),
        ({"columns": ["a", "b"], "dtype": [str]}, ValueError, "dtype .* 1 .* 2"),
        ({"columns": ["a"], "dtype": "number?"}, TypeError, "dtype 'number.'"),
        ({"columns": ["a"], "data": [[1]], "dtype": stepwell.Image}, TypeError, "'a', row 0: .* number, .* image"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        stepwell.Table(**arguments)


def test_columns_that_do_not_fit_leave_the_table_unchanged() -> None:
    table = stepwell.Table(columns=["a"], data=[[1], [2]])
    for name, cells, error in (("b", [1], ValueError), ("a", [1, 2], ValueError), ("b", [1, "x"], TypeError)):
        with pytest.raises(error, match=repr(name)):
            table.add_column(name, cells)
    with pytest.raises(ValueError, match=r"'z'.*'a'"):
        table.get_column("z")
    with pytest.raises(ValueError, match="convert_to 'list'"):
        table.get_column("a", convert_to="list")
    with pytest.raises(TypeError):
        table.add_data("x")
    assert (table.columns, table.data) == (["a"], [[1], [2]])
    table.add_data(3)
    table.add_column("b", [1, 2, None], optional=True)
    assert table.data[2] == [3, None]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (object(), "column 'a', row 1: .*builtins.object"),
        ("\ud800", "column 'a'.* surrogates"),
        (stepwell.Image("/nowhere/gone.png"), "column 'a', row 1: .*gone.png"),
    ],
)
def test_cells_that_cannot_be_stored_are_named_when_logged(cell: Any, words: str) -> None:
    table = stepwell.Table(columns=["a"], data=[[None], [cell]])
    with pytest.raises(UnstorableError, match=words):
        table.take(Kept())


def test_rows_changed_by_hand_are_checked() -> None:
    table = stepwell.Table(columns=["a"], data=[[1]])
    table.data.append([1, 2])
    with pytest.raises(UnstorableError, match=r"row 1 .* 2 values"):
        table.take(Kept())


def test_too_large_costs_the_table_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = {"quiet": True, "media_max_bytes": 1000}
    with stepwell.init(project="p", mode="offline", dir=tmp_path, settings=settings) as run:
        rows = [[hashlib.sha256(bytes([number])).hexdigest()] for number in range(100)]
        run.log({"table": stepwell.Table(columns=["a"], data=rows), "loss": 1})
        assert dict(run.summary) == {"loss": 1}
    (line,) = capfd.readouterr().err.splitlines()
    assert ("'table' (Table)" in line, "STEPWELL_MEDIA_MAX_BYTES" in line) == (True, True)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules["pyarrow"] = None
import stepwell
run = stepwell.init(project="p", mode="offline", dir={str(tmp_path)!r})
run.log({{"table": stepwell.Table(columns=["a"], data=[[1]]), "loss": 1}})
assert dict(run.summary) == {{"loss": 1}}
run.finish()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "'table' (Table)" in line]
    assert ["pip install 'stepwell[media]'" in line for line in lines] == [True]


def test_nothing_heavy_is_imported_for_it() -> None:
    script = "import sys, stepwell; assert not {'stepwell.plot', 'numpy', 'pyarrow'} & set(sys.modules); "
    script += "stepwell.Table(columns=['a'], data=[[1]]); stepwell.plot.line_series([1], [[1]]); "
    script += "assert not {'pyarrow', 'pandas', 'plotly'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
