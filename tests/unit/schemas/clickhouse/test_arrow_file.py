"""A table as a file of Arrow's format is the table, whatever its chunks, and its columns are not copied."""

from __future__ import annotations

import pyarrow as pa
import pytest

from stepwell_schemas.clickhouse.arrow_file import ArrowFile

_ROWS = pa.table(
    {
        "number": pa.array([1.5, None, 3.0, 4.0]),
        "text": pa.array(["a", "", None, "ü"]),
        "key": pa.array(["x", "y", "x", "x"]).dictionary_encode(),
        "flag": pa.array([True, False, None, True]),
        "list": pa.array([[1], [], None, [2, 3]]),
    }
)


def pieces(file: ArrowFile) -> list[bytes | memoryview]:
    found = []
    while len(piece := file.read(1)):
        found.append(piece)
    return found


@pytest.mark.parametrize(
    "rows",
    [
        _ROWS,
        _ROWS.slice(1, 2),
        _ROWS.slice(0, 0),
        pa.concat_tables([_ROWS, _ROWS.slice(3), _ROWS.slice(0, 1)]),
        pa.table({}),
    ],
    ids=["whole", "slice", "empty", "chunks", "no columns"],
)
def test_the_file_is_the_table(rows: pa.Table) -> None:
    read = b"".join(pieces(ArrowFile(rows)))
    assert read == bytes(ArrowFile(rows))
    found = pa.ipc.open_file(pa.py_buffer(read)).read_all()
    assert found.to_pydict() == rows.to_pydict()
    assert all(column.num_chunks <= 1 for column in found.columns)


def test_what_was_read_stays_after_the_table_is_gone() -> None:
    read = pieces(ArrowFile(pa.table({"a": pa.array(range(100_000))})))
    _ = [pa.array(range(100_000, 200_000)) for _ in range(4)]
    assert pa.ipc.open_file(pa.py_buffer(b"".join(read))).read_all().column("a").to_pylist() == list(range(100_000))


def test_values_are_not_copied() -> None:
    values = pa.array(range(10_000))
    addresses = [pa.py_buffer(piece).address for piece in pieces(ArrowFile(pa.table({"a": values})))]
    assert values.buffers()[1].address in addresses
