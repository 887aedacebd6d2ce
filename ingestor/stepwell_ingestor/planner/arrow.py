"""Arrow tables from Python rows and numpy columns; also fast for a few rows, as in most flushes of a quiet system.

Measured with pyarrow 26: 3 rows of 10 columns take 20 µs through a struct array and 76 µs column by column, 10,000 rows
5.6 ms and 8.4 ms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from numpy.typing import NDArray

MILLISECONDS: Final = pa.timestamp("ms", "UTC")
PATH_FIELDS: Final = {"entity": pa.string(), "project": pa.string(), "run_id": pa.string()}


def row_type(fields: Mapping[str, pa.DataType]) -> pa.StructType:
    """Return the struct type of a table's rows, from the names and types of its columns."""
    return pa.struct(list(fields.items()))


def build_table(rows: Sequence[tuple[Any, ...]], fields: pa.StructType) -> pa.Table:
    """Build a table from rows; timestamps are integer milliseconds since the epoch."""
    return pa.Table.from_batches([pa.RecordBatch.from_struct_array(pa.array(rows, fields))])


def fixed(values: NDArray[Any], data_type: pa.DataType) -> pa.Array:
    """Wrap fixed-width values as an Arrow array of a type with the same layout, without a copy or a cast."""
    return pa.Array.from_buffers(data_type, len(values), [None, pa.py_buffer(values)])
