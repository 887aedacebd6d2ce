"""Arrow tables out of Python rows and numpy columns; cheap for a few rows too, as most flushes of a quiet system have.

Measured with pyarrow 26: 3 rows of 10 columns in 20 µs by way of a struct and in 76 µs column by column, 10,000 rows
in 5.6 ms and in 8.4 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from numpy.typing import NDArray

MILLISECONDS: Final = pa.timestamp("ms", "UTC")
PATH_FIELDS: Final = {"entity": pa.string(), "project": pa.string(), "run_id": pa.string()}


def row_type(fields: Mapping[str, pa.DataType]) -> pa.StructType:
    """Return the type of a table's rows; the names and types of its columns, in order."""
    return pa.struct(list(fields.items()))


def table_of(rows: Sequence[tuple[Any, ...]], fields: pa.StructType) -> pa.Table:
    """Return rows as a table; timestamps are whole milliseconds since the epoch."""
    return pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array(rows, fields))])


def fixed(values: NDArray[Any], data_type: pa.DataType) -> pa.Array:
    """Return values of a fixed width as an Arrow array of a type that has their layout, without a copy or a cast."""
    return pa.Array.from_buffers(data_type, len(values), [None, pa.py_buffer(values)])
