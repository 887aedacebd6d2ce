"""Rows of several writers: which of their values at one step share a row.

A key is *shared* if several of the selected writers logged it. At each step, every writer that logged a shared key has
a row of its own with all its values of the step. The values of all other writers at the step are together in one row,
as are those of processes that log different keys. Without shared keys, rows are therefore as of one writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from stepwell_query.catalog.models import Selection
from stepwell_query.rows.step_rows import Int64s, StepRows, Values


def build_rows(selection: Selection, tables: Sequence[Values], started_ms: int) -> StepRows:
    """Return the rows of values that index into the series of a selection; the rows index into its `columns`.

    Rows of one step are in the order of their writers; the common row is the last.
    """
    rows = StepRows.from_values(selection.series, tables, started_ms)
    shared = selection.shared
    if not shared:
        return rows
    names = selection.writers
    numbers = {name: number for number, name in enumerate(names)}
    writer_of = np.array([numbers[info.writer] for info in selection.series], np.int64)
    is_shared = np.array([info.key in shared for info in selection.series], bool)
    columns = {(info.key, info.kind): index for index, info in enumerate(selection.columns)}
    column_of = np.array([columns[info.key, info.kind] for info in selection.series], np.int64)
    writers = [writer_of[table.series] for table in rows.tables]
    places, steps = _assign_rows(rows, writers, [is_shared[table.series] for table in rows.tables], len(names))
    return replace(
        rows,
        series=selection.columns,
        tables=[replace(table, series=column_of[table.series]) for table in rows.tables],
        steps=steps,
        row_indexes=places,
        writers=_row_writers(places, writers, names, len(steps)),
    )


def _assign_rows(
    rows: StepRows, writers: Sequence[Int64s], shared: Sequence[Int64s], count: int
) -> tuple[list[Int64s], Int64s]:
    """Return the row of each value of each table, and the step of each row; `count` is the number of writers."""
    if not writers:
        return [], rows.steps
    width = count + 1
    step = np.concatenate(rows.row_indexes)
    own = step * width + np.concatenate(writers)
    with_own_row = np.isin(own, np.unique(own[np.concatenate(shared)]))
    distinct, places = np.unique(np.where(with_own_row, own, step * width + count), return_inverse=True)
    ends = np.cumsum([len(table) for table in writers])[:-1]
    return np.split(places, ends), rows.steps[distinct // width]


def _row_writers(places: Sequence[Int64s], writers: Sequence[Int64s], names: Sequence[str], count: int) -> pa.Array:
    """Return the name of each row's writer, null for a row with values of several."""
    lowest, highest = np.full(count, len(names)), np.full(count, -1)
    for rows, numbers in zip(places, writers, strict=True):
        np.minimum.at(lowest, rows, numbers)
        np.maximum.at(highest, rows, numbers)
    return pa.array(names, pa.string()).take(pa.array(lowest, mask=lowest != highest))
