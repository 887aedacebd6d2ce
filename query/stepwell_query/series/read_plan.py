"""Planning of reads: the rows of each series that a request needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.series.segments import POINTS, Segment, split_range
from stepwell_schemas.retention.policy import KEPT_STEPS
from stepwell_schemas.rollups.sql import LEVELS, level_for
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

# Upper bound of the rows at the ends of a range, below its level: fewer than 64 of each level and 256 points.
_END_ROWS: Final = 500

_LEVEL_OF_SHIFT: Final = tuple(level_for(shift) or POINTS for shift in range(64))


@dataclass(frozen=True, slots=True)
class SeriesRead:
    """A read of one series: the steps `step_from`..`step_to`, both included, in buckets of `2**shift` steps."""

    run: RunPath
    info: SeriesInfo
    step_from: int
    step_to: int
    shift: int

    @property
    def series(self) -> tuple[str, str, str]:
        """The run's id, the key and the writer, in the order of the tables' sort keys."""
        return self.run.run_id, self.info.key, self.info.writer

    @property
    def level(self) -> int:
        """The widest rollup level that can serve the read, or POINTS; booleans have no rollups."""
        return _LEVEL_OF_SHIFT[self.shift] if self.info.kind is Kind.NUMBER else POINTS

    @property
    def rows(self) -> int:
        """Upper bound of the table rows to read."""
        width = self.step_to - self.step_from + 1
        return min(self.info.rows, width if self.level == POINTS else (width >> self.level) + _END_ROWS)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The buckets to read of each level; the bucket in which the series begins is read as a whole."""
        begins = self.step_from <= self.info.is_drawn_from
        low = self.step_from >> self.level << self.level if begins else self.step_from
        return split_range(low, self.step_to, self.info.last, self.level, self.info.raw_from)

    @property
    def has_removed_rows(self) -> bool:
        """True if retention has removed rows of the range, so that it can be read in buckets only."""
        return self.info.kind is Kind.NUMBER and self.step_from < self.info.removed_to

    def without_removed_rows(self) -> SeriesRead:
        """Return the read in buckets that rollups can serve, over whole buckets, where rows of its range are removed.

        Below the first step that has rows, the lowest level of rollups is the finest resolution.
        """
        if not self.has_removed_rows:
            return self
        low = self.step_from // KEPT_STEPS * KEPT_STEPS
        high = self.step_to if self.step_to >= self.info.raw_from else self.step_to | KEPT_STEPS - 1
        return replace(self, step_from=low, step_to=high, shift=max(self.shift, LEVELS[0]))


class ReadKind(NamedTuple):
    """Properties that all reads of one statement share.

    Attributes:
        rewritten: the series have steps that were written twice, so that points are read with FINAL. False for rollups,
            which count each step once.
        grouped: the shift of buckets of booleans. These have no rollups and are aggregated by ClickHouse.
    """

    entity: str
    project: str
    kind: Kind
    level: int
    rewritten: bool
    grouped: int

    @classmethod
    def from_read(cls, read: SeriesRead) -> ReadKind:
        """Return the kind of a read."""
        info, level = read.info, read.level
        grouped = 0 if info.kind is Kind.NUMBER else read.shift
        return cls(read.run.entity, read.run.project, info.kind, level, info.rewritten and not level, grouped)
