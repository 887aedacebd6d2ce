"""Build rows of the table `series`: the statistics of each series that a flush has points of.

Extremes are of the flush's points alone, and merged by ClickHouse; the totals are of all points up to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_ingestor.planner.arrow import fixed, row_type
from stepwell_ingestor.planner.flush_series import FlushSeries
from stepwell_ingestor.planner.names import Names
from stepwell_ingestor.planner.part_figures import PartFigures, part_figures
from stepwell_ingestor.planner.running import last_of_each, running
from stepwell_ingestor.planner.series_columns import Int64s, Marks, Structs
from stepwell_ingestor.planner.totals import SERIES_TOTALS, TOTALS, SeriesTotals
from stepwell_schemas.rollups.arrays import first_indexes

_I64, _U64, _F64 = pa.int64(), pa.uint64(), pa.float64()
_LAST_NUMBER: Final = row_type({"step": _I64, "version": _U64, "value": _F64})
_LAST_TEXT: Final = row_type({"step": _I64, "version": _U64, "value": pa.string()})


class SeriesStats(NamedTuple):
    """Contribution of a flush to each of its series; minimum, maximum and sum exclude NaN.

    `last_text`: by series, the text of the last value, or its digits if it is an integer that float64 can't represent.
    `streams` and `stream`: the names of streams, and each series' among them: DEFAULT if any of the run's own rows has
    the series. `before` and `after`: the totals before and after the flush.
    """

    first_step: Int64s
    last_step: Int64s
    rewritten: Marks
    first_version: NDArray[np.uint64]
    value_min: NDArray[np.float64]
    value_max: NDArray[np.float64]
    last_version: NDArray[np.uint64]
    last_number: NDArray[np.float64]
    last_text: Mapping[int, str]
    last_offset: Int64s
    streams: list[str]
    stream: Int64s
    before: Structs
    after: Structs


def series_stats(series: FlushSeries, before: Structs) -> SeriesStats:
    """Return the statistics of a flush's series, given the totals before it.

    The sums of the parts are added one by one to the total before them. So a sum of floats is added up in the order of
    events, and does not depend on the division into flushes.
    """
    figures = part_figures(series)
    order, starts = series.order, series.starts
    parts = series.part_of[order]
    single = len(order) == len(starts)

    def merged(function: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        return values if single else function.reduceat(values, starts)

    def extreme(function: np.ufunc, values: NDArray[np.float64]) -> NDArray[np.float64]:
        # The first one: 0 and -0 are equal, and numpy's choice depends on the processor.
        return values if single else values[first_indexes(values, function.reduceat(values, starts), starts)[0]]

    first_steps, last_steps = figures.first_step[parts], figures.last_step[parts]
    reached, _ = running(np.maximum, before["last_step"], last_steps, starts)
    rewritten = merged(np.logical_or, figures.repeated[parts] | (first_steps <= reached))
    _, sums = running(np.add, before["value_sum"], figures.value_sum[order], starts)
    last_versions = figures.last_version[parts]
    last = order if single else order[last_of_each(last_steps, last_versions, starts)]
    last_parts = series.part_of[last]
    streams = sorted({part.stream for part in series.parts})
    codes = {name: code for code, name in enumerate(streams)}
    after = np.empty(len(series), TOTALS)
    last_step = merged(np.maximum, last_steps)
    after["last_step"] = np.maximum(last_step, before["last_step"])
    after["points"] = before["points"] + merged(np.add, series.rows[parts].astype(np.uint64))
    after["not_nan"] = before["not_nan"] + merged(np.add, figures.not_nan[order])
    after["value_sum"] = sums
    return SeriesStats(
        merged(np.minimum, first_steps),
        last_step,
        rewritten,
        merged(np.minimum, figures.first_version[parts]),
        extreme(np.minimum, figures.value_min[order]),
        extreme(np.maximum, figures.value_max[order]),
        figures.last_version[last_parts],
        figures.last_number[last],
        _last_texts(figures, last),
        merged(np.maximum, figures.last_offset[parts]),
        streams,
        merged(np.minimum, np.array([codes[part.stream] for part in series.parts], np.int64)[parts]),
        before,
        after,
    )


def _last_texts(figures: PartFigures, last: Int64s) -> dict[int, str]:
    if not figures.texts:
        return {}
    return {place: text for place, entry in enumerate(last.tolist()) if (text := figures.texts.get(entry))}


def series_table(series: FlushSeries, stats: SeriesStats, end: int) -> pa.Table:
    """Build rows of the table `series` for a flush that ends at an offset."""
    order = series.appearance
    streams = Names()
    of_streams = streams.codes(stats.streams)
    last = [fixed(stats.last_step[order], _I64), fixed(stats.last_version[order], _U64)]
    columns: dict[str, Any] = {
        **series.columns(order),
        "first_step": stats.first_step[order],
        "last_step": last[0],
        "rewritten": stats.rewritten[order].view(np.uint8),
        "first_version": stats.first_version[order],
        "value_min": stats.value_min[order],
        "value_max": stats.value_max[order],
        "last_number": _struct([*last, fixed(stats.last_number[order], _F64)], _LAST_NUMBER),
        "last_text": _struct([*last, _texts(stats.last_text, order)], _LAST_TEXT),
        "last_offset": stats.last_offset[order],
        "stream": streams.column(of_streams[stats.stream[order]]),
        "totals": _totals(stats, order, end),
    }
    return pa.table(columns)


def _totals(stats: SeriesStats, order: Int64s, end: int) -> pa.StructArray:
    columns = [np.full(len(order), end, np.uint64)]
    for totals in (stats.after, stats.before):
        chosen = totals[order]
        columns += [np.ascontiguousarray(chosen[name]) for name in SeriesTotals._fields]
    return _struct([pa.array(column) for column in columns], SERIES_TOTALS)


def _struct(columns: list[pa.Array], fields: pa.StructType) -> pa.StructArray:
    return pa.StructArray.from_arrays(columns, fields=list(fields))


def _texts(texts: Mapping[int, str], order: Int64s) -> pa.Array:
    if texts:
        return pa.array([texts.get(place, "") for place in order.tolist()], pa.string())
    return pa.Array.from_buffers(
        pa.string(), len(order), [None, pa.py_buffer(np.zeros(len(order) + 1, np.int32)), pa.py_buffer(b"")]
    )
