"""Statements that read rollups, and points at the ends of ranges.

A short statement costs ClickHouse mostly its planning, whatever it reads. Few series therefore get one statement for
both. For many series, points and rollups have statements of their own: as rows of a common shape, points would have
twice as many columns.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from stepwell_query.series.edges import segment_condition
from stepwell_query.series.models import DRAWN_TABLES
from stepwell_query.series.read_batches import ReadBatch
from stepwell_query.series.read_plan import ReadKind
from stepwell_query.series.segments import POINTS, Segment
from stepwell_schemas.rollups.sql import LEVELS, bucket_sql
from stepwell_schemas.rules.kinds import Kind

Statement = tuple[str, dict[str, Any]]

# Explicit PREWHERE: choosing the columns to read first by itself costs ClickHouse half of a short statement's time.
WHERE: Final = "PREWHERE"
STEPS: Final = "step BETWEEN {low:Int64} AND {high:Int64}"
"""The steps of `ReadBatch.range`."""
_ROLLUP_COLUMNS: Final = (
    "level, bucket, version, last_step, last_value, min_value, max_value, total, finite, nans, count"
)
_TIME: Final = ", toUnixTimestamp64Milli({}) AS time"
# A point among rollups: the columns that a reader of points does not use are empty.
_POINT_AMONG_ROLLUPS: Final = (
    f"toUInt8({POINTS}) AS level, toInt64(0) AS bucket, toUInt64(0) AS version, step AS last_step, value AS last_value,"
    " toFloat64(0) AS min_value, toFloat64(0) AS max_value, toFloat64(0) AS total, toUInt64(0) AS finite,"
    " toUInt64(0) AS nans, toUInt64(0) AS count"
)
FEW_SERIES: Final = 16
"""Limit of series whose rollups and points are read by one statement."""


def table_of(kind: Kind, rewritten: bool) -> str:
    """Return the source of points of a kind, with one row for each step if `rewritten`."""
    return f"{{db}}.{DRAWN_TABLES[kind]} {'FINAL' if rewritten else ''}"


class BucketStatements:
    """Builds statements without their settings; `times` and `extremes` as of `BucketReader`."""

    def __init__(self, *, times: bool, extremes: bool) -> None:
        self._times = times
        self._extremes = extremes

    def point_columns(self, kind: Kind, batch: ReadBatch) -> str:
        """Return the columns of points: the cell, `last_step` and `last_value`, and `time` if requested."""
        value = "value" if kind is Kind.NUMBER else "toFloat64(value)"
        time = _TIME.format("timestamp") if self._times else ""
        return f"{batch.cell}, step AS last_step, {value} AS last_value{time}"

    def rolled(self, read_kind: ReadKind, batch: ReadBatch) -> tuple[list[Statement], list[Statement | None]]:
        """Return what reads the rollups, and the points of the series without and with steps written twice.

        The only statement of few series reads all of it; then there are no statements for points.
        """
        rollups = self._rollups(read_kind, batch)
        # A condition may also match series of the other flag, so that their points must not be mixed.
        together = bool(rollups) and len(batch.reads) <= FEW_SERIES and len(set(batch.rewritten.tolist())) == 1
        points = [self._edges(read_kind, batch, rewritten, together) for rewritten in (False, True)]
        if not together:
            return rollups, points
        parts = [*rollups, *(statement for statement in points if statement)]
        sql = " UNION ALL ".join(text for text, _ in parts)
        return [(sql, {name: value for _, named in parts for name, value in named.items()})], []

    def numbers(self, batch: ReadBatch, segments: Sequence[Segment], *, rewritten: bool) -> Statement:
        """Return what reads the same rollups and points of several numbers.

        Args:
            rewritten: the series have steps written twice.
        """
        points = [segment for segment in segments if segment.level == POINTS]
        rollups = [segment for segment in segments if segment.level != POINTS]
        series, named = batch.chosen()
        parts = []
        if rollups:
            condition, of_rollups = segment_condition(rollups)
            parts.append(self._select_rollups(batch, f"{series} AND {condition}"))
            named |= of_rollups
        if points:
            condition, of_points = segment_condition(points)
            condition = f"{series} AND {condition}"
            parts.append(self._select_points(Kind.NUMBER, batch, condition, rewritten, together=bool(rollups)))
            named |= of_points
        return " UNION ALL ".join(parts), named

    def _rollups(self, read_kind: ReadKind, batch: ReadBatch) -> list[Statement]:
        """Return the statement that reads rollups, or no statement if none are needed."""
        condition, named = batch.common(points=False) or self._different_rollups(read_kind, batch)
        return [(self._select_rollups(batch, condition), named)] if condition else []

    def _select_rollups(self, batch: ReadBatch, condition: str) -> str:
        more = _TIME.format("last_timestamp") if self._times else ""
        more += ", min_step, max_step" if self._extremes else ""
        return f"SELECT {batch.cell}, {_ROLLUP_COLUMNS}{more} FROM {{db}}.rollups {WHERE} {condition}"

    def _different_rollups(self, read_kind: ReadKind, batch: ReadBatch) -> Statement:
        conditions: list[str] = []
        named: dict[str, Any] = {}
        if (extent := batch.extent(read_kind.level)) is not None:
            chosen, named = batch.chosen()
            conditions.append(
                f"{chosen} AND level = {read_kind.level:d} AND bucket BETWEEN {{first:Int64}} AND {{last:Int64}}"
            )
            named |= {"first": extent[0], "last": extent[1]}
        if (edges := batch.edges([level for level in LEVELS if level < read_kind.level])) is not None:
            conditions.append(edges[0])
            named |= edges[1]
        return " OR ".join(conditions), named

    def _edges(self, read_kind: ReadKind, batch: ReadBatch, rewritten: bool, together: bool) -> Statement | None:
        """Return the statement for the points at the ends of ranges of those series that were, or were not, rewritten.

        Args:
            together: the rows have the columns of rollups.
        """
        if rewritten not in batch.rewritten:
            return None
        condition, named = batch.common(points=True) or self._different_edges(batch, rewritten)
        if not condition:
            return None
        return self._select_points(read_kind.kind, batch, condition, rewritten, together), named

    def _select_points(self, kind: Kind, batch: ReadBatch, condition: str, rewritten: bool, together: bool) -> str:
        columns = self._columns_among_rollups(batch) if together else self.point_columns(kind, batch)
        return f"SELECT {columns} FROM {table_of(kind, rewritten)} {WHERE} {condition}"

    def _different_edges(self, batch: ReadBatch, rewritten: bool) -> Statement:
        edges = batch.edges([POINTS], rewritten)
        if edges is None:
            return "", {}
        # The first condition is cheap and leaves few rows for the second, which selects the granules.
        condition = f"{bucket_sql(LEVELS[0])} IN {{ends:Array(Int64)}} WHERE {edges[0]}"
        return condition, {"ends": batch.ends(), **edges[1]}

    def _columns_among_rollups(self, batch: ReadBatch) -> str:
        more = _TIME.format("timestamp") if self._times else ""
        more += ", step AS min_step, step AS max_step" if self._extremes else ""
        return f"{batch.cell}, {_POINT_AMONG_ROLLUPS}{more}"
