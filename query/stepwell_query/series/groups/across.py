"""Series of one run across its writers: a band of all writers in one, from the aggregation of groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
from numpy.typing import NDArray

from stepwell_query.catalog.models import Activity
from stepwell_query.catalog.progress import read_progress
from stepwell_query.catalog.writers import EVERY
from stepwell_query.encoding import NotFinite
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.series.groups.aggregate import GroupBuckets
from stepwell_query.series.groups.read import GroupedSeries, Groups, read_groups
from stepwell_query.series.groups.serialize import BUCKET_FIELDS, bucket_columns, columns_json, series_head
from stepwell_query.series.models import Axis, Sampling, SeriesRequest
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath

_ALL: Final = 0


def read_across_writers(
    store: Store, run: RunPath, activity: Mapping[RunPath, Activity], request: SeriesRequest, limits: QueryLimits
) -> Groups:
    """Read the requested series of a run as one group of writers: all, if the request selects none.

    Raises:
        RunNotFoundError: when there is no such run.
        RequestError: when the request has an x axis, a sampling or a smoothing that needs single series.
        StoreError: when ClickHouse does not answer.
    """
    if request.x not in {None, Axis.STEP} or request.sampling is not Sampling.BUCKETS or request.smoothing:
        rule = "aggregates buckets of steps, without another x, sampling or smoothing"
        raise RequestError("across", "writers", rule, "leave them out, or request writer=*")
    if run not in activity:
        read_progress(store, run)
    writers = EVERY if request.writers.is_primary else request.writers
    return read_groups(store, [run], activity, replace(request, writers=writers), None, limits)


def across_json(answer: Groups, run: RunPath, points: int, non_finite: NotFinite) -> dict[str, Any]:
    """Return the document of an answer; `json_bytes` encodes its arrays."""
    return {
        "run": str(run),
        "across": "writers",
        "points": points,
        "series": [
            {
                **series_head(series),
                "writers": [info.writer for info in series.series],
                **columns_json(_columns(part), non_finite),
            }
            for series, part in _parts(answer)
        ],
        "unknown_keys": answer.unknown_keys,
        "complete_to": answer.progress[run].as_json() if run in answer.progress else {"step": -1, "offset": -1},
    }


def across_table(answer: Groups) -> pa.Table:
    """Return a table with a row for each bucket; `min_writer` and `max_writer` are names."""
    tables = [_EMPTY]
    for series, part in _parts(answer):
        count = len(part.step)
        columns = {name: pa.array(column) for name, column in _columns(part).items()}
        names = pa.array([info.writer for info in series.series], pa.string())
        columns |= {name: names.take(columns[name]) for name in ("min_writer", "max_writer")}
        width = pa.repeat(pa.scalar(min(1 << series.shift, 2**63 - 1), pa.int64()), count)
        heads = {"key": pa.repeat(series.key, count), "kind": pa.repeat(str(series.kind), count), "bucket_width": width}
        tables.append(pa.table(heads | columns, schema=_EMPTY.schema))
    return pa.concat_tables(tables)


def _parts(answer: Groups) -> list[tuple[GroupedSeries, GroupBuckets]]:
    return [(series, series.buckets[_ALL]) for series in answer.series if _ALL in series.buckets]


def _columns(part: GroupBuckets) -> dict[str, NDArray[Any]]:
    return {**bucket_columns(part), "min_writer": part.min_owner, "max_writer": part.max_owner}


_EMPTY = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "kind")),
        *BUCKET_FIELDS,
        *((name, pa.string()) for name in ("min_writer", "max_writer")),
    ]
).empty_table()
