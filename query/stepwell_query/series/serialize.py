"""Answers with series as JSON documents and as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.catalog.retained import raw_from_json
from stepwell_query.encoding import NotFinite, json_float, json_floats
from stepwell_query.series.models import RunSeries, Sampling, SeriesView
from stepwell_schemas.rules.keys import fold_key


def series_json(answer: RunSeries, non_finite: NotFinite = NotFinite.TEXT) -> dict[str, Any]:
    """Return the document of one run's series; `json_bytes` encodes its arrays."""
    return {
        "run": str(answer.run),
        "x": answer.request.x,
        "points": answer.request.points,
        "sampling": answer.request.sampling,
        "seed": answer.request.seed,
        "smoothing": answer.request.smoothing,
        "smoothing_parts": answer.request.smoothing_parts,
        "series": [_view_json(view, non_finite) for view in answer.views],
        "unknown_keys": answer.unknown,
        "undrawn": [{"key": info.key, "kind": info.kind, **_writer_json(info)} for info in answer.undrawn],
        "complete_to": answer.progress.as_json(),
    }


def _view_json(view: SeriesView, non_finite: NotFinite) -> dict[str, Any]:
    buckets, smoothed = view.points.buckets, view.smoothed
    average = (
        {}
        if smoothed is None
        else {"smoothed": _numbers(smoothed.values, non_finite), "smoothed_width": smoothed.width}
    )
    return {
        "key": view.info.key,
        "folded": fold_key(view.info.key),
        "kind": view.info.kind,
        **_writer_json(view.info),
        "sampled": view.sampling is not Sampling.RAW,
        "sampling": view.sampling,
        "bucket_width": view.plan.width,
        "x_width": None if view.x_width is None else json_float(view.x_width, non_finite),
        "first_step": view.info.first,
        "last_step": view.info.last,
        **raw_from_json([view.info]),
        "count": view.count,
        "nan_count": view.nan_count,
        "x_axis": view.x,
        "x": _numbers(view.points.x, non_finite),
        "step": _numbers(buckets.step, non_finite),
        "value": _numbers(buckets.last, non_finite),
        "min": _numbers(buckets.min, non_finite),
        "max": _numbers(buckets.max, non_finite),
        "mean": _numbers(view.points.mean, non_finite),
        "counts": _numbers(buckets.count, non_finite),
        "nans": _numbers(buckets.nan_count, non_finite),
        **average,
    }


def _writer_json(info: SeriesInfo) -> dict[str, Any]:
    """Return the writer of a series, unless the key's only writer is the unnamed one."""
    return {"writer": info.writer, "other_writers": info.writers - 1} if info.writer or info.writers > 1 else {}


def _numbers(values: NDArray[Any], non_finite: NotFinite) -> Any:
    if values.dtype.kind == "f":
        return json_floats(values, non_finite)
    return np.ascontiguousarray(values)


def series_table(answers: Iterable[RunSeries]) -> pa.Table:
    """Return a table with a row for each point: its run, key, kind and x axis, and the columns of `Points`.

    The column `smoothed` is present if the request asks for smoothing, the column `writer` if there are named writers.
    """
    views = [(answer, view) for answer in answers for view in answer.views]
    named = any(_writer_json(view.info) for _, view in views)
    parts = [_view_table(answer, view, named=named) for answer, view in views]
    return pa.concat_tables(parts) if parts else _SCHEMA.empty_table()


_SCHEMA = pa.schema(
    [
        ("run", pa.string()),
        ("key", pa.string()),
        ("kind", pa.string()),
        ("bucket_width", pa.int64()),
        ("x_axis", pa.string()),
        ("x", pa.float64()),
        ("step", pa.int64()),
        ("value", pa.float64()),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("mean", pa.float64()),
        ("counts", pa.int64()),
        ("nans", pa.int64()),
    ]
)


def _view_table(answer: RunSeries, view: SeriesView, *, named: bool) -> pa.Table:
    buckets = view.points.buckets
    count = len(buckets)
    columns = [
        pa.repeat(str(answer.run), count),
        pa.repeat(view.info.key, count),
        pa.repeat(str(view.info.kind), count),
        pa.repeat(pa.scalar(min(view.plan.width, 2**63 - 1), pa.int64()), count),
        pa.repeat(view.x, count),
        pa.array(view.points.x.astype(np.float64)),
        *(
            pa.array(values)
            for values in (
                buckets.step, buckets.last, buckets.min, buckets.max, view.points.mean, buckets.count, buckets.nan_count
            )
        ),
    ]  # fmt: skip
    table = pa.table(columns, schema=_SCHEMA)
    if answer.request.smoothing:
        averages = np.full(count, np.nan) if view.smoothed is None else view.smoothed.values
        table = table.append_column("smoothed", pa.array(averages))
    return table.append_column("writer", pa.repeat(view.info.writer, count)) if named else table
