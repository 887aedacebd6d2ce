"""Accumulator of a flush, whose events are planned one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stepwell_ingestor.messages import DeadLetter, Received
from stepwell_ingestor.planner.columns import Columns, Int64s
from stepwell_ingestor.planner.content import ContentDifference
from stepwell_ingestor.planner.layers import get_many
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.run_tables import (
    Activity,
    Conflict,
    MediaFile,
    Session,
)
from stepwell_ingestor.planner.shared_writers import SharedWriter
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


class Deletion(NamedTuple):
    """The last deletion of a run in a flush.

    Attributes:
        offset: the logical offset of its event. Rows of the run from earlier events go.
        before: the run's state before the flush.
        after: its state after the deletion, which has no changes of later events.
        files: the media files that the flush had completed for the run before: SHA-256 and size in bytes.
    """

    offset: int
    before: RunState
    after: RunState
    files: dict[str, int]


class StoredKeys(NamedTuple):
    """The keys of a block to store: indices in the block, stored spellings, and the number of usable ones."""

    places: list[int]
    keys: list[str]
    taken: int


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
    """Accumulator of the planner; `part` and `new_spellings` belong to the current event.

    `activity` and `sessions` have the activity of each event of a run and of a session, in order.
    """

    states: dict[RunPath, RunState]
    refused: Mapping[int, str]
    left_out: LeftOut
    media_types: dict[str, str]
    files: list[MediaFile] = field(default_factory=list)
    columns: list[Columns] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    activity: dict[RunPath, list[Activity]] = field(default_factory=dict)
    sessions: dict[Session, list[Activity]] = field(default_factory=dict)
    part: Activity = field(default_factory=Activity)
    new_spellings: int = 0
    documents: dict[RunPath, int] = field(default_factory=dict)
    spellings: list[tuple[RunPath, str, str, int]] = field(default_factory=list)
    dead: dict[int, DeadLetter] = field(default_factory=dict)
    early: list[EarlySession] = field(default_factory=list)
    shared_writers: list[SharedWriter] = field(default_factory=list)
    differing: list[ContentDifference] = field(default_factory=list)
    forgotten: list[ForgottenGap] = field(default_factory=list)
    late: int = 0
    replaced_times: list[ReplacedTimes] = field(default_factory=list)
    deletions: dict[RunPath, Deletion] = field(default_factory=dict)
    dropped: int = 0
    _known_keys: dict[tuple[RunPath, tuple[str, ...]], StoredKeys] = field(default_factory=dict)
    _numbers: dict[tuple[RunPath, int], tuple[list[str], Int64s]] = field(default_factory=dict)

    def known_keys(self, path: RunPath, keys: Sequence[str]) -> StoredKeys | None:
        """Return the stored spellings of keys; None if any of them is new to the run."""
        # Many writers of a run, and many events of a writer, log the same keys.
        keys = tuple(keys)
        found = self._known_keys.get((path, keys))
        if found is None:
            stored = get_many(self.states[path].stored_as, keys)
            places = {key: place for place, key in enumerate(stored) if key is not None}
            if None in stored:
                return None
            found = StoredKeys(list(places.values()), list(places), len(keys))
            self._known_keys[path, keys] = found
        return found

    def key_numbers(self, path: RunPath, keys: list[str]) -> Int64s:
        """Return the numbers of stored keys in the run's ledger of series."""
        _, numbers = self._numbers.get((path, id(keys)), (keys, None))
        if numbers is None:
            numbers = self.states[path].series.key_numbers(keys)
            # With the list, so that no other one gets its identity.
            self._numbers[path, id(keys)] = keys, numbers
        return numbers

    def forget_keys(self, path: RunPath) -> None:
        """Drop what is known of the keys of a run, whose state begins again."""
        self._known_keys = {name: known for name, known in self._known_keys.items() if name[0] != path}
        self._numbers = {name: known for name, known in self._numbers.items() if name[0] != path}

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
