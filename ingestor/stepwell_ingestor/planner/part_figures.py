"""The statistics of a flush's parts, and of the values that each of their keys has: an entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.planner.columns import Columns
from stepwell_ingestor.planner.flush_series import FlushSeries
from stepwell_ingestor.planner.series_columns import Int64s, Marks
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.kinds import Kind

# Parts with fewer values are computed together with others of the same number of rows: a call of numpy takes longer.
_FEW_VALUES: Final = 4_096

Floats = NDArray[np.float64]
UInt64s = NDArray[np.uint64]


class PartFigures(NamedTuple):
    """Statistics of parts and entries; minimum, maximum and sum exclude NaN.

    By part: `last_version` is that of the row with the last step, `repeated` is true if steps do not ascend.
    By entry: `value_min` to `last_number`, and the texts of last values that are no numbers.
    """

    first_step: Int64s
    last_step: Int64s
    last_version: UInt64s
    first_version: UInt64s
    last_offset: Int64s
    repeated: Marks
    value_min: Floats
    value_max: Floats
    value_sum: Floats
    not_nan: UInt64s
    last_number: Floats
    texts: dict[int, str]


def part_figures(series: FlushSeries) -> PartFigures:
    """Return the statistics of a flush's parts."""
    rows = series.rows
    starts = np.cumsum(rows) - rows
    steps = np.concatenate([part.steps for part in series.parts])
    versions = np.concatenate([part.versions for part in series.parts])
    last_step, last_row, repeated = steps, starts, np.zeros(len(rows), np.bool_)
    first_step = steps
    if len(steps) > len(rows):
        # Steps go back within a part where those that the ingestor counted end and those of the session begin.
        first_step, last_step = np.minimum.reduceat(steps, starts), np.maximum.reduceat(steps, starts)
        places = np.arange(len(steps))
        last_row = np.maximum.reduceat(np.where(steps == np.repeat(last_step, rows), places, -1), starts)
        falls = np.append(False, steps[1:] <= steps[:-1])
        falls[starts] = False
        repeated = np.logical_or.reduceat(falls, starts)
    count = len(series.order)
    figures = PartFigures(
        first_step, last_step, versions[last_row], versions[starts],
        (versions[starts + rows - 1] >> np.uint64(VERSION_ROW_BITS)).astype(np.int64), repeated,
        np.full(count, np.inf), np.full(count, -np.inf), np.zeros(count), np.zeros(count, np.uint64),
        np.zeros(count), {},
    )  # fmt: skip
    for group in _groups(series):
        _add_numbers(figures, series, group, (last_row - starts).tolist())
    for number, part in enumerate(series.parts):
        if part.kind is not Kind.NUMBER:
            _add_others(figures, part, int(series.first_entries[number]), int(last_row[number] - starts[number]))
    return figures


def _groups(series: FlushSeries) -> Iterator[list[int]]:
    """Yield the parts with numbers: those with the same number of rows together, unless they are large."""
    found: dict[int, list[int]] = {}
    for number, part in enumerate(series.parts):
        if part.kind is Kind.NUMBER:
            if len(part.values) > _FEW_VALUES:
                yield [number]
            else:
                found.setdefault(len(part.steps), []).append(number)
    yield from found.values()


def _add_numbers(figures: PartFigures, series: FlushSeries, group: list[int], last_row: list[int]) -> None:
    parts = [series.parts[number] for number in group]
    widths = series.widths[group]
    rows = len(parts[0].steps)
    values = parts[0].values if len(parts) == 1 else np.concatenate([part.values for part in parts])
    values = values.reshape(-1, rows)
    entries: Any = slice(None)
    if len(values) < len(series.order):
        firsts = series.first_entries[group]
        entries = np.repeat(firsts - np.cumsum(widths) + widths, widths) + np.arange(len(values))
    there = ~np.isnan(values)
    if rows == 1:
        one, is_number = values[:, 0], there[:, 0]
        figures.value_min[entries] = np.where(is_number, one, np.inf)
        figures.value_max[entries] = np.where(is_number, one, -np.inf)
        figures.value_sum[entries] = np.where(is_number, one, 0.0)
        figures.not_nan[entries] = is_number
        figures.last_number[entries] = one
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            figures.value_sum[entries] = np.sum(values, axis=1, where=there)
        figures.value_min[entries] = np.min(values, axis=1, where=there, initial=np.inf)
        figures.value_max[entries] = np.max(values, axis=1, where=there, initial=-np.inf)
        figures.not_nan[entries] = there.sum(axis=1)
        at = np.repeat([last_row[number] for number in group], widths)
        figures.last_number[entries] = values[np.arange(len(values)), at]
    for number, part in zip(group, parts, strict=True):
        for position, text in part.exact.items():
            place, row = divmod(position, rows)
            if row == last_row[number]:
                figures.texts[int(series.first_entries[number]) + place] = text


def _add_others(figures: PartFigures, part: Columns, first: int, last_row: int) -> None:
    """Add the last values of a part without numbers."""
    rows = len(part.steps)
    if part.kind is Kind.BOOL:
        figures.last_number[first : first + len(part.keys)] = part.values[last_row::rows]
    else:
        figures.texts.update(enumerate(part.values[last_row::rows], first))
