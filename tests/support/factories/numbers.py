"""Numbers in the form of the table `points_number`: by their bits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def float_bits(values: Any) -> pa.Array:
    """Return floats in the form of their column, as bits."""
    return pa.array(values, pa.float64()).view(pa.uint64())


def with_values(rows: pa.Table) -> pa.Table:
    """Return rows with `value` instead of `bits`, as readers see them; rows of other tables unchanged."""
    if "bits" not in rows.column_names:
        return rows
    place = rows.column_names.index("bits")
    chunks = [chunk.view(pa.float64()) for chunk in rows.column(place).chunks]
    return rows.set_column(place, "value", pa.chunked_array(chunks, pa.float64()))
