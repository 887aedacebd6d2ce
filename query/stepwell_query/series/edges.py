"""Conditions on the ends of ranges, where finer rollups or points are read than in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_schemas.rollups.sql import LEVEL_BITS, LEVELS, bucket_sql


class Edge(NamedTuple):
    """A parent bucket of buckets to read: 32 times as wide as these, or 128 steps wide for points."""

    run_id: str
    key: str
    writer: str
    level: int
    parent: int


def edge_condition(edges: Sequence[Edge], position: list[str], of_writers: str) -> tuple[str, dict[str, Any]]:
    """Return the condition for edges, and its parameters.

    Args:
        position: the names of their fields besides run, key and writer.
        of_writers: the condition that selects the batch's writers.
    """
    runs, keys = sorted({edge.run_id for edge in edges}), sorted({edge.key for edge in edges})
    writers = {edge.writer for edge in edges}
    ends = {(edge.run_id, edge.level, edge.parent) for edge in edges}
    # Usually most keys of a run end at the same step: then the runs and keys are listed once, not once per edge.
    alike = len(ends) * len(keys) * len(writers) <= 2 * len(edges)
    series = ["key"] if len(writers) == 1 else ["key", "writer"]
    fields = [*(["run_id"] if len(runs) > 1 or not alike else []), *([] if alike else series), *position]
    sql = {"level": "level", "parent": f"intDiv(bucket, {1 << LEVEL_BITS})"}
    if position == ["parent"]:
        sql["parent"] = bucket_sql(LEVELS[0])
    types = {"level": "UInt8", "parent": "Int64"}
    column = ", ".join(sql.get(field, field) for field in fields)
    kind = ", ".join(types.get(field, "String") for field in fields)
    values = sorted({tuple(getattr(edge, field) for field in fields) for edge in edges})
    condition = (
        f"{OF_PROJECT} AND run_id IN {{edge_runs:Array(String)}} AND key IN {{edge_keys:Array(String)}}"
        f" AND {of_writers} AND tuple({column}) IN {{edges:Array(Tuple({kind}))}}"
    )
    return condition, {"edge_runs": runs, "edge_keys": keys, "edges": values}
