"""The content of rows as they are in the journal, before they become the columns of a batch.

It is computed from the journal's items and not from the batch, so that it also covers how batches are built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stepwell.journal.items import JournalItem, JsonRow, Rows
from stepwell.journal.row_layout import BOOL_CODE, INT_CODE, Layout
from stepwell_schemas.limits import FLOAT64_EXACT_INT
from stepwell_schemas.rules.content import MASK, cells_content, key_weights, row_content, rows_content
from stepwell_schemas.rules.kinds import Kind, exact_text


def items_content(items: Iterable[JournalItem], weights: NDArray[np.uint64]) -> int:
    """Return the content of consecutive rows, given the weight of each row."""
    total, row = rows_content(weights), 0
    for item in items:
        if isinstance(item, Rows):
            total += _packed_content(item, weights[row : row + len(item.array)])
            row += len(item.array)
        elif isinstance(item, JsonRow):
            cells = ((key, kind, value) for key, (kind, value) in item.row["d"].items())
            total += row_content(cells, int(weights[row]))
            row += 1
    return total & MASK


def _packed_content(rows: Rows, weights: NDArray[np.uint64]) -> int:
    layout, total = rows.layout, 0
    keys = _layout_weights(layout)
    for number, (code, first, end) in enumerate(layout.code_runs()):
        values = rows.array[f"v{number}"].T
        exact = dict(large_integers(values)) if code == INT_CODE else {}
        kind = Kind.BOOL if code == BOOL_CODE else Kind.NUMBER
        stored = values.astype("<f8") if code == INT_CODE else values
        total += cells_content(kind, keys[first:end], weights, stored, exact)
    return total


def _layout_weights(layout: Layout) -> NDArray[np.uint64]:
    """Return the weights of a layout's keys. Spellings of one metric of a kind are one value in a row: the last one."""
    weights = np.empty(len(layout.keys), np.uint64)
    bools = np.array([code == BOOL_CODE for code in layout.codes], np.bool_)
    for kind, chosen in ((Kind.NUMBER, ~bools), (Kind.BOOL, bools)):
        weights[chosen] = key_weights(kind, [layout.keys[place] for place in np.flatnonzero(chosen)])
    return weights


def large_integers(values: NDArray[Any]) -> Iterator[tuple[int, str]]:
    """Yield position and digits of each integer that float64 can't hold."""
    large = (values > FLOAT64_EXACT_INT) | (values < -FLOAT64_EXACT_INT)
    if large.any():
        texts = [exact_text(value) for value in values[large].tolist()]
        yield from ((int(at), text) for at, text in zip(np.flatnonzero(large), texts, strict=True) if text)
