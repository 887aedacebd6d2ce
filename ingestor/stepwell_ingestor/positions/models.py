"""The position of a partition, and the plan of a flush as it stands in a commit's metadata; no I/O.

Kafka counts the offsets of each log from 0. A *logical* offset is Kafka's offset plus the `base` of the partition's
epoch. Logical offsets grow over all logs that the tables were filled from, so versions and states contain them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from stepwell_ingestor.kafka.log_metadata import LogIdentity

_BOUNDARIES: Final = 24
VOIDED: Final = 16
"""The number of void ranges that a position keeps."""

_EPOCH_BITS: Final = 16
_PLAN: Final = re.compile(r"(?P<end>[0-9]{1,19})(?::(?P<checksum>[0-9a-f]{8}):(?P<epoch>[0-9]{1,10}))?", re.ASCII)


class PlanMark(NamedTuple):
    """The plan of a flush: its end as Kafka's offset, the checksum over its records, and its epoch.

    Versions before the table of positions committed the end alone: their plans have no checksum.
    """

    end: int
    checksum: int | None
    epoch: int

    @property
    def text(self) -> str:
        """The metadata of the commit."""
        return str(self.end) if self.checksum is None else f"{self.end}:{self.checksum:08x}:{self.epoch}"


def parse_plan(text: str) -> PlanMark | None:
    """Return the plan in a commit's metadata, or None if it holds none."""
    match = _PLAN.fullmatch(text)
    if match is None:
        return None
    checksum = match["checksum"]
    return PlanMark(int(match["end"]), None if checksum is None else int(checksum, 16), int(match["epoch"] or 0))


class Boundary(NamedTuple):
    """The end of a stored flush as Kafka's offset; time and checksum of the record before it."""

    end: int
    timestamp: int
    checksum: int


class VoidRange(NamedTuple):
    """Logical offsets (from, to] of a flush that was abandoned: states that it wrote there don't hold."""

    offset_from: int
    offset_to: int


@dataclass(frozen=True)
class LogPosition:
    """The offset up to which a partition is stored, and what is known of its log.

    `first` and `end` are Kafka's offsets: where the epoch began, and the first one that is not stored. `holds_rows`:
    something of the partition is in the tables. `missing`: records that retention removed before they were stored.
    `boundaries`: ends of stored flushes, ascending, by which another log at the same offsets is recognised.
    `begun_at`: the time of the epoch's beginning, in milliseconds since 1970.
    """

    topic: str
    partition: int
    log: LogIdentity
    reason: str
    epoch: int = 0
    base: int = 0
    first: int = 0
    end: int = 0
    holds_rows: bool = False
    missing: int = 0
    boundaries: tuple[Boundary, ...] = ()
    voided: tuple[VoidRange, ...] = ()
    begun_at: int = 0

    @property
    def logical_end(self) -> int:
        """The logical offset before which everything is stored."""
        return self.base + self.end

    @property
    def version(self) -> int:
        """The version of the position's row: the furthest position holds, and of two equal ones the later epoch."""
        return self.logical_end << _EPOCH_BITS | min(self.epoch, (1 << _EPOCH_BITS) - 1)

    def advance(self, end: int, boundary: Boundary, *, holds_rows: bool, missing: int = 0) -> LogPosition:
        """Return the position after a flush up to the Kafka offset `end`, given the boundary after its last record.

        `missing`: records that retention removed from the flush before they were read.
        """
        boundaries = self.boundaries
        if not boundaries or boundaries[-1].end < boundary.end:
            boundaries = thin_out((*boundaries, boundary))
        return replace(
            self,
            end=max(self.end, end),
            boundaries=boundaries,
            holds_rows=self.holds_rows or holds_rows,
            missing=self.missing + missing,
        )

    def void(self, end: int) -> tuple[VoidRange, ...]:
        """Return the void ranges if a flush from this position to the Kafka offset `end` is abandoned."""
        return (*self.voided, VoidRange(self.logical_end, self.base + end))[-VOIDED:]

    def is_of(self, log: LogIdentity) -> bool:
        """Return True if this is a position of a log, as far as Kafka's identifiers tell."""
        if self.log.topic_id and log.topic_id:
            return self.log.topic_id == log.topic_id
        return self.log.cluster_id == log.cluster_id


def thin_out(boundaries: tuple[Boundary, ...]) -> tuple[Boundary, ...]:
    """Drop boundaries beyond a limit such that their distances grow with their age; the first and last one stay."""
    while len(boundaries) > _BOUNDARIES:
        newest = boundaries[-1].end

        def crowding(place: int, among: tuple[Boundary, ...] = boundaries, newest: int = newest) -> float:
            around = among[place + 1].end - among[place - 1].end
            return around / (newest - among[place - 1].end + 1)

        place = min(range(1, len(boundaries) - 1), key=crowding)
        boundaries = boundaries[:place] + boundaries[place + 1 :]
    return boundaries


class AsOf(NamedTuple):
    """The time, in logical offsets of a partition, as of which the states of its runs are loaded."""

    offset: int
    voided: tuple[VoidRange, ...] = ()

    def includes(self, written_at: int) -> bool:
        """Return True if a state that was written for the events before `written_at` holds."""
        if any(void.offset_from < written_at <= void.offset_to for void in self.voided):
            return False
        return written_at <= self.offset
