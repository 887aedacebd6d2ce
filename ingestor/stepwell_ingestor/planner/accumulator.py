"""Accumulator of a flush, whose events are planned one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stepwell_ingestor.messages import DeadLetter, Received
from stepwell_ingestor.planner.content import ContentDifference
from stepwell_ingestor.planner.point_tables import Columns
from stepwell_ingestor.planner.run_state import RunState, SeriesId
from stepwell_ingestor.planner.run_tables import (
    Activity,
    Conflict,
    MediaFile,
    Session,
)
from stepwell_ingestor.planner.series_stats import SeriesPart
from stepwell_schemas.errors import DeadLetterReason
from stepwell_schemas.rules.identifiers import RunPath

_DETAIL_CHARS: Final = 1_000


class EarlySession(NamedTuple):
    """A session that began in the log before all records of its predecessor had arrived; `missing` had not."""

    path: RunPath
    session: str
    predecessor: str
    missing: int


class ForgottenGap(NamedTuple):
    """Missing records [first, end) of a session with too many gaps: if they arrive later, they count as repeated."""

    path: RunPath
    session: str
    first: int
    end: int


class ReplacedTimes(NamedTuple):
    """Rows or events of a session whose time is outside the range that can be stored; `first` is the first one, in µs.

    They have the time of their Kafka record instead.
    """

    path: RunPath
    session: str
    offset: int
    first: int
    times: int


@dataclass
class LeftOut:
    """Rows of a flush that ClickHouse refuses, with reasons: values by table and event offset, documents by run."""

    values: dict[tuple[str, int], str] = field(default_factory=dict)
    documents: dict[RunPath, str] = field(default_factory=dict)

    def add(self, other: LeftOut) -> None:
        """Add further refused rows."""
        self.values |= other.values
        self.documents |= other.documents

    def __len__(self) -> int:
        return len(self.values) + len(self.documents)


@dataclass
class Flush:
    """Accumulator of the planner; `part` and `new_spellings` belong to the current event."""

    states: dict[RunPath, RunState]
    refused: Mapping[int, str]
    left_out: LeftOut
    media_types: dict[str, str]
    files: list[MediaFile] = field(default_factory=list)
    columns: list[Columns] = field(default_factory=list)
    series: dict[tuple[RunPath, SeriesId], SeriesPart] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    activity: dict[RunPath, Activity] = field(default_factory=dict)
    sessions: dict[Session, Activity] = field(default_factory=dict)
    part: Activity = field(default_factory=Activity)
    new_spellings: int = 0
    documents: dict[RunPath, int] = field(default_factory=dict)
    spellings: list[tuple[RunPath, str, str, int]] = field(default_factory=list)
    dead: dict[int, DeadLetter] = field(default_factory=dict)
    early: list[EarlySession] = field(default_factory=list)
    differing: list[ContentDifference] = field(default_factory=list)
    forgotten: list[ForgottenGap] = field(default_factory=list)
    late: int = 0
    replaced_times: list[ReplacedTimes] = field(default_factory=list)

    def replaced_time(self, item: Received, first: int, times: int) -> None:
        """Record that times of an event were replaced by the time of its Kafka record."""
        self.replaced_times.append(ReplacedTimes(item.path, item.event.session, item.message.offset, first, times))

    def refuse(self, item: Received, reason: DeadLetterReason, detail: str) -> None:
        """Record that a part of an event can't be stored; all refused parts of an event share one dead letter."""
        self.part.dead_letters = 1
        known = self.dead.get(item.message.offset)
        if known is None:
            self.dead[item.message.offset] = DeadLetter(item.message, reason, detail)
        elif len(known.detail) < _DETAIL_CHARS:
            self.dead[item.message.offset] = known._replace(detail=f"{known.detail}; {detail}")
