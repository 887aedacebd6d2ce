"""Answers with groups as JSON documents and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.retained import raw_from_json
from stepwell_query.encoding import NotFinite, json_bytes, json_floats
from stepwell_query.runs.summary import stored_value
from stepwell_query.series.groups.aggregate import GroupBuckets
from stepwell_query.series.groups.read import GroupedSeries, Groups
from stepwell_schemas.rules.keys import fold_key


def groups_json(answer: Groups, group_by: str | None, points: int, non_finite: NotFinite) -> dict[str, Any]:
    """Return the document of an answer; `json_bytes` encodes its arrays."""
    return {
        "group_by": group_by,
        "points": points,
        "groups": [
            {"value": stored_value(value, non_finite), "runs": [str(run) for run in runs]}
            for value, runs in zip(answer.values, answer.runs, strict=True)
        ],
        "series": [_series_json(series, answer, non_finite) for series in answer.series],
        "unknown_runs": [str(run) for run in answer.unknown_runs],
        "unknown_keys": answer.unknown_keys,
        "complete_to": {str(run): reached.as_json() for run, reached in answer.progress.items()},
    }


def _series_json(series: GroupedSeries, answer: Groups, non_finite: NotFinite) -> dict[str, Any]:
    groups = [
        {"value": stored_value(answer.values[group], non_finite)} | columns_json(bucket_columns(part), non_finite)
        for group, part in series.buckets.items()
    ]
    return {**series_head(series), "groups": groups}


def series_head(series: GroupedSeries) -> dict[str, Any]:
    """Return the fields that describe a series and its buckets."""
    return {
        "key": series.key,
        "folded": fold_key(series.key),
        "kind": series.kind,
        "bucket_width": 1 << series.shift,
        "first_step": series.first,
        "last_step": series.last,
        "x_axis": "_step",
        **raw_from_json(series.series),
    }


def columns_json(columns: Mapping[str, NDArray[Any]], non_finite: NotFinite) -> dict[str, Any]:
    """Return columns as `json_bytes` encodes them."""
    return {
        name: json_floats(column, non_finite) if column.dtype.kind == "f" else np.ascontiguousarray(column)
        for name, column in columns.items()
    }


def groups_table(answer: Groups) -> pa.Table:
    """Return a table with a row for each bucket of each group; the column `group` has the group's value as JSON."""
    parts = []
    for series in answer.series:
        for group, part in series.buckets.items():
            value = json_bytes(stored_value(answer.values[group], NotFinite.TEXT)).decode()
            names = {"key": series.key, "kind": str(series.kind), "group": value}
            columns = {name: pa.repeat(text, len(part.step)) for name, text in names.items()}
            columns["bucket_width"] = pa.repeat(
                pa.scalar(min(1 << series.shift, 2**63 - 1), pa.int64()), len(part.step)
            )
            parts.append(pa.table(columns | {name: pa.array(column) for name, column in bucket_columns(part).items()}))
    return pa.concat_tables(parts) if parts else _EMPTY


def bucket_columns(part: GroupBuckets) -> dict[str, NDArray[Any]]:
    """Return the columns of a group's buckets, by their names in answers."""
    return {
        "step": part.step,
        "mean": part.mean,
        "min": part.min,
        "max": part.max,
        "std": part.std,
        "count": part.runs,
        "low": part.low,
        "high": part.high,
    }


BUCKET_FIELDS: Final = (
    ("bucket_width", pa.int64()),
    ("step", pa.int64()),
    *((name, pa.float64()) for name in ("mean", "min", "max", "std")),
    ("count", pa.int64()),
    *((name, pa.float64()) for name in ("low", "high")),
)
"""Names and types of the columns that tables of all answers with groups have."""

_EMPTY = pa.schema([*((name, pa.string()) for name in ("key", "kind", "group")), *BUCKET_FIELDS]).empty_table()
