"""Recognise records that retention removed before a running consumer had read them; pure.

A consumer whose position is before the begin of the log continues at the begin, without a word. Offsets without
records are ordinary too: markers of transactions, and records of aborted transactions that compaction removed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stepwell_ingestor.messages import Message


class Gap(NamedTuple):
    """Offsets [start, end) without a record, between two records that were read one after the other."""

    start: int
    end: int


def find_gaps(start: int, messages: Iterable[Message]) -> list[Gap]:
    """Return the gaps in what was read from an offset on, in ascending order."""
    gaps = []
    for message in messages:
        # What can't be read is one message that stands for all its offsets.
        first = message.offset if message.fault is None else min(message.fault.first, message.offset)
        if first > start:
            gaps.append(Gap(start, first))
        start = message.offset + 1
    return gaps


def count_removed(gaps: Iterable[Gap], begin: int) -> int:
    """Return how many offsets of gaps are before the present begin of the log: those that retention has taken."""
    return sum(max(min(gap.end, begin) - gap.start, 0) for gap in gaps)
