"""The planned values of a block, by columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

Int64s = NDArray[np.int64]


def bounds(values: Int64s) -> tuple[int, int]:
    """Return the least and the greatest of some values, at least one."""
    if len(values) == 1:
        # The usual case where many runs log now and then; numpy's reductions take 20 times as long.
        only = int(values[0])
        return only, only
    return int(values.min()), int(values.max())


class Columns(NamedTuple):
    """Values of k keys of one kind that the same n rows of a writer logged.

    `steps`, `timestamps` (µs) and `versions` (ascending) have n entries; `values` has k × n, one key after the other:
    float64 for numbers, uint8 for bools, str otherwise. `exact` maps positions in `values` to exact integers.
    `stream`: the stream of the rows. `group` and `numbers`, int64[k], are the upper and lower parts of the series' ids
    in the run's ledger (see `series_ledger`).
    """

    path: RunPath
    writer: str
    kind: Kind
    keys: list[str]
    steps: Int64s
    timestamps: Int64s
    versions: NDArray[np.uint64]
    values: Any
    exact: dict[int, str]
    stream: str
    group: int
    numbers: Int64s
