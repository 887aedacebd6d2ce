"""Decide which records of an event are not stored yet, from the sequence numbers that its session has sent.

Sequence numbers usually arrive in order. If some are left out, they are a *gap*: they count as missing, and are stored
if they arrive later. That happens if a log was created again under a consumer, which then read the new log from the
middle (see docs/decisions/0024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_schemas.limits import SESSION_MAX_GAPS

Range = tuple[int, int]
"""The numbers [first, end)."""

Gaps = tuple[Range, ...]
"""The gaps of a session: ascending ranges of sequence numbers, with a received number between each two of them."""

NO_GAPS: Final[Gaps] = ()


class Part(NamedTuple):
    """The records [first, end) of an event, counted from its first one; `late` if they fill a gap."""

    first: int
    end: int
    late: bool


class Arrival(NamedTuple):
    """The outcome of an event's arrival.

    Attributes:
        parts: the records to store, ascending.
        following: the session's next sequence number.
        gaps: its gaps.
        repeated: the number of records that were stored before, or whose gap was forgotten.
        missing: the change of the number of missing records; negative if the event fills gaps.
        forgotten: gaps that are not kept because there are too many. Their records stay missing.
    """

    parts: tuple[Part, ...]
    following: int
    gaps: Gaps
    repeated: int
    missing: int
    forgotten: Gaps = NO_GAPS

    @property
    def is_late(self) -> bool:
        """True if all records to store fill gaps."""
        return bool(self.parts) and self.parts[-1].late


def arrive(following: int, gaps: Gaps, sequence: int, records: int) -> Arrival:
    """Return the outcome for the records [sequence, sequence + records) of a session.

    Args:
        following: the session's next sequence number.
        gaps: its gaps.
        sequence: the number of the event's first record.
        records: the number of its records.
    """
    end = sequence + records
    if not records:
        return Arrival((), following, gaps, 0, 0)
    if sequence == following:
        return Arrival(_tail(sequence, end, following), end, gaps, 0, 0)
    if sequence > following:
        kept, forgotten = _bounded((*gaps, (following, sequence)))
        return Arrival(_tail(sequence, end, following), end, kept, 0, sequence - following, forgotten)
    late = tuple(Part(first - sequence, last - sequence, True) for first, last in _within(gaps, sequence, end))
    parts = (*late, *_tail(sequence, end, following))
    stored = sum(part.end - part.first for part in parts)
    filled = sum(part.end - part.first for part in late)
    left, forgotten = _bounded(tuple(_without(gaps, sequence, end))) if late else (gaps, NO_GAPS)
    return Arrival(parts, max(following, end), left, records - stored, -filled, forgotten)


def everything(records: int) -> Arrival:
    """Return the outcome for the records of an event without a session, which are stored each time they arrive."""
    return Arrival((Part(0, records, False),), 0, NO_GAPS, 0, 0)


def marked_rows(parts: Sequence[Part], rows: int) -> NDArray[np.bool_] | None:
    """Return True for each of an event's rows that is in a part; None if all of them are."""
    if len(parts) == 1 and parts[0][:2] == (0, rows):
        return None
    marks = np.zeros(rows, np.bool_)
    for part in parts:
        marks[part.first : part.end] = True
    return marks


def _tail(sequence: int, end: int, following: int) -> tuple[Part, ...]:
    """Return the part of an event that continues its session."""
    first = max(sequence, following)
    return (Part(first - sequence, end - sequence, False),) if first < end else ()


def _within(gaps: Gaps, sequence: int, end: int) -> Iterator[Range]:
    """Yield what gaps and [sequence, end) have in common."""
    for first, last in gaps:
        if first < end and sequence < last:
            yield max(first, sequence), min(last, end)


def _without(gaps: Gaps, sequence: int, end: int) -> Iterator[Range]:
    """Yield what is left of gaps without [sequence, end)."""
    for first, last in gaps:
        if last <= sequence or end <= first:
            yield first, last
            continue
        if first < sequence:
            yield first, sequence
        if end < last:
            yield end, last


def _bounded(gaps: Gaps) -> tuple[Gaps, Gaps]:
    """Return the gaps to keep, and those to forget: the smallest, and of equal ones the oldest."""
    over = len(gaps) - SESSION_MAX_GAPS
    if over <= 0:
        return gaps, NO_GAPS
    smallest = sorted(gaps, key=lambda gap: (gap[1] - gap[0], gap[0]))[:over]
    return tuple(gap for gap in gaps if gap not in smallest), tuple(smallest)
