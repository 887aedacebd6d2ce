"""Replay one run's log through the ingestor's planner into a scratch database, to obtain the expected tables.

The log is read up to the offset that the ingestors' group has committed. Events after it may be stored already,
completely or in part: `look_ahead` returns the steps they touch, so that these can be excluded from a comparison.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from stepwell_ingestor.errors import ReplayError
from stepwell_ingestor.flush.refusals import insert_divided, is_divisible
from stepwell_ingestor.messages import Received
from stepwell_ingestor.planner.accumulator import LeftOut
from stepwell_ingestor.planner.isolation import plan_usable
from stepwell_ingestor.planner.plan import FlushPlan
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.positions.models import parse_plan
from stepwell_ingestor.settings import IngestorSettings
from stepwell_ingestor.verify.fingerprints import Bounds, Figures, Rows, read_figures
from stepwell_ingestor.verify.log_reader import RunLog
from stepwell_ingestor.verify.session_digest import SessionTally
from stepwell_schemas.clickhouse.run_rows import delete_rows
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.events.models import LogBatch, LogEvent, RunDeleted
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rollups.rebuild import fill_all
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.streams import DEFAULT, parse_stream

_DATABASE: Final = "replay"
_MICROSECONDS_A_MILLISECOND: Final = 1_000


class LogStart(NamedTuple):
    """The start of the run's log: the partition's first offset, and the run's first event.

    `timestamp` is in milliseconds since the epoch; `sequence` is the number of its first record in its session.
    """

    partition: int
    log_begin: int
    offset: int
    timestamp: int
    sequence: int


class GroupProgress(NamedTuple):
    """The progress of the group: events before `settled` are stored; those before `begun` may be stored too."""

    settled: int
    begun: int


class PendingEvents(NamedTuple):
    """Events of the run that are not settled, and the lowest step of its own rows that they touch, or None.

    `beside`: the events have rows of a side stream, which counts its steps independently.
    """

    events: int
    first_step: int | None
    beside: bool


class Remainder(NamedTuple):
    """The part of the log after the replayed one, and the totals of the replay.

    `behind`: events of the run that are not settled. `behind_all`: those of its partition. `unusable`: replayed events
    that are dead letters, completely or in part. `replaced_times`: times that can't be stored, and are those of the
    Kafka records instead. `sessions`: the requested session tallies. `deletions`, `dropped`: the number of times that
    the run was deleted, and of the records that arrived after the deletion of their run.
    """

    behind: int
    behind_all: int
    unusable: int
    replaced_times: int
    sessions: dict[str, SessionTally]
    deletions: int = 0
    dropped: int = 0


class Replay:
    """The replay of one run; call its methods in the order of their definition.

    Args:
        settings: Kafka, the topic and the group.
        run: the run.
        folder: an empty folder for the scratch database. The embedded engine opens one folder per process.
        session_ends: the sessions to tally, each with the sequence number at which to stop.
    """

    def __init__(self, settings: IngestorSettings, run: RunPath, folder: Path, session_ends: Mapping[str, int]) -> None:
        self._run = run
        self._slice_bytes = settings.ingestor_flush_bytes
        self._log = RunLog(settings, run)
        self._scratch = connect(f"chdb://{folder}", _DATABASE)
        self._partition = 0
        self._position = 0
        self._state = RunState()
        self._seed_step: int | None = None
        self._unusable = self._replaced_times = self._deletions = self._dropped = 0
        self._tallied_to = 0
        self._sessions = {session: SessionTally(end) for session, end in session_ends.items()}

    async def open(self) -> None:
        """Connect and create the scratch tables. Raises: KafkaError, StoreError."""
        migrate(self._scratch)
        await self._log.open()

    async def begin(self) -> LogStart | None:
        """Find the run's first event; return None if Kafka has none.

        All partitions are searched, since a producer with another hash function uses another partition for the key.
        """
        for partition in await self._log.partitions():
            extent = await self._log.extent(partition)
            first = await self._first_event(partition, extent.begin, extent.end)
            if first is not None:
                offset = first.message.offset
                self._partition, self._position, self._tallied_to = partition, offset, offset
                timestamp = first.timestamp // _MICROSECONDS_A_MILLISECOND
                return LogStart(partition, extent.begin, offset, timestamp, first.event.sequence)
        return None

    async def is_complete_since_start(self) -> bool:
        """Return True if retention has removed nothing from any partition."""
        return all([(await self._log.extent(number)).begin == 0 for number in await self._log.partitions()])

    async def seed(self, step: int, keys: Sequence[str]) -> None:
        """Start in the middle of the run, given its writers' current step and the spellings of its keys."""
        self._seed_step = step
        self._state.spellings = {fold_key(key): key for key in keys}

    async def reach(self) -> GroupProgress:
        """Return the progress of the group. Raises: ReplayError if it has committed nothing for the partition."""
        offset, plan, _ = await self._log.committed(self._partition)
        end = (await self._log.extent(self._partition)).end
        if offset is None:
            raise ReplayError(
                f"the consumer group has committed nothing for partition {self._partition}: either nothing of it was "
                "ingested yet, or STEPWELL_INGESTOR_GROUP is not the ingestors' group"
            )
        if offset > end:
            raise ReplayError(f"the consumer group is at offset {offset}, but the log ends at {end}: it was recreated")
        begun = parse_plan(plan)
        return GroupProgress(offset, offset if begun is None else begun.end)

    async def store_until(self, end: int) -> None:
        """Store the events before offset `end` in the scratch tables. Raises: KafkaError, ReplayError."""
        pending: list[Received] = []
        size = 0
        async for part in self._log.read(self._partition, self._position, end):
            self._unusable += part.unusable
            for item in part.received:
                self._tally(item)
                pending.append(item)
                size += len(item.message.value)
                if size >= self._slice_bytes:
                    await self._store(pending)
                    pending, size = [], 0
        await self._store(pending)
        self._position = max(self._position, end)

    async def look_ahead(self, end: int) -> PendingEvents:
        """Describe the events between the replayed part and offset `end`. Raises: KafkaError, ReplayError."""
        items: list[Received] = []
        async for part in self._log.read(self._partition, self._position, end):
            items += part.received
        plan = self._plan(items)
        series = plan.tables["series"].to_pylist() if "series" in plan.tables else []
        conflicts = plan.tables["step_conflict_log"].to_pylist() if "step_conflict_log" in plan.tables else []
        steps = [row["first_step"] for row in series if row["stream"] == DEFAULT]
        steps += [row["step"] for row in conflicts]
        return PendingEvents(len(items), min(steps, default=None), any(row["stream"] != DEFAULT for row in series))

    async def figures(self, bounds: Bounds) -> Figures:
        """Return the fingerprints of the replayed events, including rollups. Raises: StoreError."""
        fill_all(self._scratch)
        return read_figures(self._ask, self._run, bounds)

    async def rest(self) -> Remainder:
        """Read to the end of the log without storing events. Raises: KafkaError, ReplayError."""
        end = (await self._log.extent(self._partition)).end
        behind = 0
        async for part in self._log.read(self._partition, self._position, end):
            behind += len(part.received)
            for item in part.received:
                self._tally(item)
        return Remainder(
            behind,
            max(end - self._position, 0),
            self._unusable,
            self._replaced_times,
            self._sessions,
            self._deletions,
            self._dropped,
        )

    async def elsewhere(self) -> list[int]:
        """Return the other partitions that hold events of the run. Raises: KafkaError, ReplayError."""
        found = []
        for partition in await self._log.partitions():
            extent = await self._log.extent(partition)
            if partition != self._partition and await self._first_event(partition, *extent) is not None:
                found.append(partition)
        return found

    async def close(self) -> None:
        """Close the connections to Kafka and the scratch database."""
        self._scratch.close()
        await self._log.close()

    async def _first_event(self, partition: int, begin: int, end: int) -> Received | None:
        async for part in self._log.read(partition, begin, end):
            if part.received:
                return part.received[0]
        return None

    async def _store(self, items: list[Received]) -> None:
        left_out, stored = LeftOut(), set[str]()
        plan = self._plan(items, left_out)
        if plan.deletions:
            delete_rows(self._scratch, {path: deletion.offset for path, deletion in plan.deletions.items()})
        while table := next((name for name in plan.tables if name not in stored), None):
            try:
                self._scratch.insert(table, plan.tables[table])
            except StoreRejectedError as error:
                if not is_divisible(table, error):
                    raise
                left_out.add(await insert_divided(partial(self._insert, table), table, plan.tables[table], error))
                plan = self._plan(items, left_out)
            stored.add(table)
        self._unusable += len(plan.dead)
        self._deletions += sum(isinstance(item.event, RunDeleted) for item in items)
        self._dropped += plan.dropped
        self._replaced_times += sum(replaced.times for replaced in plan.replaced_times)
        # First into the fork with seeded writers, then into the run's state.
        self._state = plan.states[self._run].settle().settle()

    async def _insert(self, table: str, rows: pa.Table) -> None:
        await asyncio.to_thread(self._scratch.insert, table, rows)

    def _plan(self, items: list[Received], left_out: LeftOut | None = None) -> FlushPlan:
        before = self._state.fork()
        if self._seed_step is not None:
            seed_state(before, items, self._seed_step)
        end = items[-1].message.offset + 1 if items else self._position
        return plan_usable(items, [], {self._run: before}, end, left_out=left_out)

    def _tally(self, item: Received) -> None:
        if item.message.offset < self._tallied_to:
            return
        self._tallied_to = item.message.offset + 1
        tally = self._sessions.get(item.event.session)
        if tally is not None:
            tally.add(item.event)

    def _ask(self, sql: str, parameters: Mapping[str, Any]) -> Rows:
        rows: Rows = self._scratch.query(sql, parameters).to_pylist()
        return rows


def seed_state(state: RunState, items: Sequence[Received], step: int) -> None:
    """Let the sessions and writers of events that are new to a state begin in the middle, writers at a step."""
    for item in items:
        event = item.event
        if event.session and event.sequence > 0 and not item.message.origin:
            # Earlier records of the session are no gap: they were stored from a part of the log that is gone.
            state.sessions.setdefault(event.session, event.sequence)
        if isinstance(event, LogBatch | LogEvent) and parse_stream(event.writer) == DEFAULT:
            state.writers.setdefault(event.writer, step)
