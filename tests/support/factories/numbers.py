"""Numbers as the table `points_number` has them: by their bits."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def bits_of(values: Any) -> pa.Array:
    """Return floats as what their column holds."""
    return pa.array(values, pa.float64()).view(pa.uint64())


def with_values(rows: pa.Table) -> pa.Table:
    """Return rows with `value` in the place of `bits`, as readers see them; rows of other tables as they are."""
    if "bits" not in rows.column_names:
        return rows
    place = rows.column_names.index("bits")
    chunks = [chunk.view(pa.float64()) for chunk in rows.column(place).chunks]
    return rows.set_column(place, "value", pa.chunked_array(chunks, pa.float64()))
