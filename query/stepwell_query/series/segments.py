"""Segments of a range of steps: rollups where whole closed buckets fit, otherwise finer levels and points.

`stepwell_schemas.rollups.sql` defines levels and closed buckets.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from stepwell_schemas.rollups.sql import LEVEL_BITS, LEVELS, closed

POINTS: Final = 0
"""The level of points: a bucket is a step."""


class Segment(NamedTuple):
    """The buckets `first` to `end` (not included) of a level: the steps `first << level` to `(end << level) - 1`."""

    level: int
    first: int
    end: int

    @property
    def parents(self) -> range:
        """The parent buckets, 32 times as wide (128 steps for points), that contain this segment's buckets."""
        bits = LEVEL_BITS if self.level else LEVELS[0]
        return range(self.first >> bits, ((self.end - 1) >> bits) + 1)


@lru_cache(4_096)
def split_range(step_from: int, step_to: int, last_step: int, level: int, removed_to: int = 0) -> tuple[Segment, ...]:
    """Split the steps `step_from`..`step_to` (both included) into ascending segments of `level` and finer levels.

    The segments contain each step exactly once, and of rollups only closed buckets. At most two segments have the same
    level. All except those of `level` are short: fewer than 64 buckets, or fewer than 256 points.

    Args:
        step_from: the first step.
        step_to: the last step.
        last_step: the last step of the series.
        level: one of LEVELS, or POINTS.
        removed_to: the step below which retention has removed the points, after it stored the rows of all buckets of
            the lowest level.
    """
    if step_from > step_to:
        return ()
    if level == POINTS:
        return (Segment(POINTS, step_from, step_to + 1),)
    below = max((lower for lower in LEVELS if lower < level), default=POINTS)
    first = -(-step_from >> level)
    end_closed = closed(level, last_step)
    if below == POINTS:
        end_closed = max(end_closed, removed_to >> level)
    end = min((step_to + 1) >> level, end_closed)
    if first >= end:
        return split_range(step_from, step_to, last_step, below, removed_to)
    head = split_range(step_from, (first << level) - 1, last_step, below, removed_to)
    tail = split_range(end << level, step_to, last_step, below, removed_to)
    return (*head, Segment(level, first, end), *tail)
