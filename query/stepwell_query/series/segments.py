"""Which rows answer for a range of steps: rollups where whole closed buckets fit, finer levels and points else.

Pure. `stepwell_schemas.rollups.sql` says what levels and closed buckets are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from stepwell_schemas.rollups.sql import LEVEL_BITS, LEVELS, closed

POINTS: Final = 0
"""The level of the points themselves: a bucket is a step."""


class Segment(NamedTuple):
    """The buckets `first` to `end` (not included) of a level: the steps `first << level` to `(end << level) - 1`."""

    level: int
    first: int
    end: int

    @property
    def parents(self) -> range:
        """The buckets 32 times as wide (of points: 128 times) that this one's lie in."""
        bits = LEVEL_BITS if self.level else LEVELS[0]
        return range(self.first >> bits, ((self.end - 1) >> bits) + 1)


@lru_cache(4_096)
def cover(low: int, high: int, last_step: int, level: int) -> tuple[Segment, ...]:
    """Cut the steps `low`..`high` (both included) into segments, ascending, none of a level above `level`.

    Together they hold each step once, and of rollups they name closed buckets alone. At most two are of one level, and
    all but those of `level` are short: fewer than 64 buckets, or fewer than 256 points.

    Args:
        low: the first step. high: the last one. last_step: the step that the series has reached.
        level: one of LEVELS, or POINTS.
    """
    if low > high:
        return ()
    if level == POINTS:
        return (Segment(POINTS, low, high + 1),)
    below = max((lower for lower in LEVELS if lower < level), default=POINTS)
    first = -(-low >> level)
    end = min((high + 1) >> level, closed(level, last_step))
    if first >= end:
        return cover(low, high, last_step, below)
    head = cover(low, (first << level) - 1, last_step, below)
    tail = cover(end << level, high, last_step, below)
    return (*head, Segment(level, first, end), *tail)
