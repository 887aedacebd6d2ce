"""Conditions on the ends of ranges, where finer rollups or points are read than in the middle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.series.segments import POINTS, Segment
from stepwell_schemas.rollups.sql import LEVEL_BITS, LEVELS, bucket_sql


class Edge(NamedTuple):
    """A parent bucket of buckets to read: 32 times as wide as these, or 128 steps wide for points."""

    run_id: str
    key: str
    writer: str
    level: int
    parent: int


def segment_condition(segments: Sequence[Segment]) -> tuple[str, dict[str, int]]:
    """Return the condition for the rows of segments, of points only or of rollups only, and its parameters.

    Comparisons with two numbers cost ClickHouse less than sets, so this serves series that all have the same segments.
    """
    terms: list[str] = []
    named: dict[str, int] = {}
    for segment in segments:
        table = "step" if segment.level == POINTS else "bucket"
        first, last = (f"{table}_{end}_{len(terms)}" for end in ("first", "last"))
        of_level = "" if segment.level == POINTS else f"level = {segment.level:d} AND "
        terms.append(f"{of_level}{table} BETWEEN {{{first}:Int64}} AND {{{last}:Int64}}")
        named |= {first: segment.first, last: segment.end - 1}
    return f"({' OR '.join(terms)})", named


def edge_condition(edges: Sequence[Edge], position: list[str], of_writers: str) -> tuple[str, dict[str, Any]]:
    """Return the condition for edges, of points or of rollups, and its parameters; a statement may have one of each.

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
    of = "point" if position == ["parent"] else "rollup"
    sql = {"level": "level", "parent": f"intDiv(bucket, {1 << LEVEL_BITS})"}
    if of == "point":
        sql["parent"] = bucket_sql(LEVELS[0])
    types = {"level": "UInt8", "parent": "Int64"}
    column = ", ".join(sql.get(field, field) for field in fields)
    kind = ", ".join(types.get(field, "String") for field in fields)
    values = sorted({tuple(getattr(edge, field) for field in fields) for edge in edges})
    condition = (
        f"{OF_PROJECT} AND run_id IN {{{of}_runs:Array(String)}} AND key IN {{{of}_keys:Array(String)}}"
        f" AND {of_writers} AND tuple({column}) IN {{{of}_edges:Array(Tuple({kind}))}}"
    )
    return condition, {f"{of}_runs": runs, f"{of}_keys": keys, f"{of}_edges": values}
