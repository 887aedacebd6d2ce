"""Flush a partition exactly once, whatever crashes in between.

1. Load the state of the runs as of the first offset `a`, and store new media files in the media store, so that every
   row stored later finds the files it refers to.
2. Plan the rows, and commit `a` with the plan (the end `b` and a checksum over the records) as metadata. The broker
   accepts this commit from the partition's owner only, so the state loaded before is current.
3. Delete the rows of runs that were deleted (see `clickhouse.run_rows`). Then insert each table's rows under a token
   made of topic, partition, a, b, the checksum and the table. After the points and before `series`, store the rollups
   that the points close or change (see `rollups/plan`); they need no token. If a reply was lost, or a previous owner
   left the plan, check that the rows are stored (see `insert_check`). If ClickHouse refuses rows for their data, store
   the others, and plan the following tables without them (see `refusals` and docs/decisions/0008).
4. Store the partition's position (see `positions`), by which the next owner continues.
5. Deliver dead letters, or log them if their topic does not accept them (see `deadletter_delivery`).
6. Commit `b`.

Rows, states and tokens have logical offsets; buffers, commits and dead letters have Kafka's. This module translates.

The owner of the partition after a crash finds the plan, reads exactly [a, b) again and repeats the steps: existing
files stay, ClickHouse deduplicates the inserts that had succeeded by their token, and the others are made. A dead
letter may be delivered twice; its headers name the original offset.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import structlog
from aiokafka import TopicPartition

from stepwell_ingestor import telemetry
from stepwell_ingestor.flush.buffer import FlushMessages
from stepwell_ingestor.flush.deadletter_delivery import LetterDelivery
from stepwell_ingestor.flush.doubtful_inserts import Inserts, insert_once
from stepwell_ingestor.flush.insert_check import rows_are_visible
from stepwell_ingestor.flush.log_checks import count_removed_records, refuse_moved_runs
from stepwell_ingestor.flush.media_upload import StoredMedia, store_media, tidy_media
from stepwell_ingestor.flush.partition_store import PartitionStore
from stepwell_ingestor.flush.refusals import insert_divided, is_divisible
from stepwell_ingestor.flush.state_loader import load_media_types, load_states
from stepwell_ingestor.flush.state_memory import StateCache
from stepwell_ingestor.flush.tokens import flush_range, insert_token, make_plan
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.fenced_commit import commit
from stepwell_ingestor.messages import Message, Received, receive_all, shift
from stepwell_ingestor.planner.accumulator import LeftOut
from stepwell_ingestor.planner.isolation import plan_usable
from stepwell_ingestor.planner.plan import FlushPlan, is_repeated
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.positions.checksums import boundary_after
from stepwell_ingestor.positions.models import AsOf, LogPosition
from stepwell_ingestor.positions.report import report_missing
from stepwell_ingestor.positions.stored import TABLE as POSITIONS
from stepwell_ingestor.positions.stored import position_row
from stepwell_schemas.clickhouse.run_rows import delete_rows, note_unreferenced
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import DeadLetterReason, MediaUnavailableError, StoreRejectedError
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.events.models import MediaChunk
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rollups.sql import LEVELS, TABLE
from stepwell_schemas.rules.identifiers import RunPath

_LETTERS_LOGGED: Final = 10
# The table with each series' last step. Readers rely on rollups up to that step, so it is inserted after them.
_REACHED: Final = "series"
_log = structlog.get_logger()

_StorePlan = Callable[[bool], Awaitable[FlushPlan]]
"""A function that stores the rows of a flush; its argument is true if they may be stored already."""


class _Prepared(NamedTuple):
    """A function that plans the flush without refused rows, and the media that the flush has stored."""

    plan_without: Callable[[LeftOut], FlushPlan]
    media: StoredMedia


class Flusher:
    """Flushes one partition, one flush after the other. Not safe for concurrent flushes."""

    def __init__(
        self,
        partition: TopicPartition,
        *,
        store: Store,
        media: MediaStore,
        kafka: Kafka,
        letters: LetterDelivery,
        codec: Codec,
        states: StateCache,
        retry_seconds: float,
    ) -> None:
        self._partition = partition
        self._store = PartitionStore(partition, store, retry_seconds)
        self._media = media
        self._kafka = kafka
        self._letters = letters
        self._codec = codec
        self._states = states

    @property
    def position(self) -> LogPosition | None:
        """The partition's position, None until it was decided where to continue."""
        return self._store.position

    def begin(self, position: LogPosition) -> None:
        """Set the position after it was read from the tables, or stored in them."""
        self._store.begin(position)

    async def store_position(self, position: LogPosition) -> None:
        """Store the partition's position, with retries. Raises: StoreError."""
        await self._store.store_position(position)

    def give_up(self) -> None:
        """Stop retrying and drop the cached run states, because the partition goes to another owner."""
        self._store.given_up.set()
        self._states.close()

    async def flush(self, pending: FlushMessages) -> FlushPlan:
        """Store the messages of a flush.

        Retry while ClickHouse or the media store can't be reached, until `give_up`.

        Returns:
            The plan, whose dead letters have Kafka's offsets.

        Raises:
            PlanError: if the messages are not those of the plan that was found.
            PartitionsAddedError: if the topic has more partitions, and an event may be one of a run that moved.
            PositionLostError: if the tables have an earlier position: they were emptied or restored.
            OvertakenError: if the tables have a later position: another ingestor owns the partition.
            StoreUnavailableError: if one of them could not be reached and the flush was given up.
            StoreError: if ClickHouse refuses a statement; nothing is committed then.
            LandingError: if inserted rows can't be read.
            KafkaError: if the broker rejects a commit, for example after a rebalance, or the commit is in doubt.
        """
        position = self.position
        assert position is not None  # noqa: S101 - nothing is flushed before a partition has its position
        messages, found = pending.messages, pending.plan is not None
        if not found:
            await refuse_moved_runs(self._kafka, self._partition, messages, position.log)
        missing = await count_removed_records(self._kafka, self._partition, pending)
        mark = await asyncio.to_thread(make_plan, messages, pending.end, position.epoch, pending.plan)
        self._store.reaches = replace(position, end=pending.end).version
        await self._store.confirm()
        flush = flush_range(messages, mark, position.base)
        logical = [shift(message, position.base) for message in messages]
        plan_without, media = await self._prepare(logical, flush.end)
        plan = await asyncio.to_thread(plan_without, LeftOut())
        # Also for a plan that was found: an ingestor that was frozen may have loaded states of later flushes.
        commit_plan = partial(commit, self._kafka, self._partition, pending.start, mark.text)
        await commit_plan(again=found)
        inserts = Inserts(partial(insert_token, self._partition, flush), flush.first, partial(commit_plan, again=True))
        looks = self._store.looks
        store = partial(self._store_rows, plan, plan_without, inserts)
        plan = await self._restore(await store(found), store, inserts, looks)
        self._report(plan)
        holds_rows = position.holds_rows or bool(plan.tables)
        reached = position.advance(pending.end, boundary_after(messages[-1]), holds_rows=holds_rows, missing=missing)
        looks = self._store.looks
        await self._store.insert_confirmed(POSITIONS, position_row(reached))
        plan = await self._restore(plan, store, inserts, looks)
        self._store.begin(reached)
        if missing:
            report_missing(self._partition, pending.start, missing, reached)
        letters = [letter._replace(message=shift(letter.message, -position.base)) for letter in plan.dead]
        await self._letters.deliver(self._partition, letters, self._store.given_up)
        await commit(self._kafka, self._partition, pending.end, "")
        self._states.put(plan.states)
        await self._tidy(media)
        return replace(plan, dead=letters)

    async def _prepare(self, messages: Sequence[Message], end: int) -> _Prepared:
        """Decode messages, load their run states and store their media, before anything is planned."""
        received, dead = await asyncio.to_thread(receive_all, self._codec, messages)
        states = await self._store.call(self._load, received, messages[0].offset)
        chunks = [item for item in received if isinstance(item.event, MediaChunk)]
        chunks = [item for item in chunks if not is_repeated(item, states[item.path])]
        stored, _ = await self._store.retry(partial(store_media, self._media, chunks))
        files = {item.event.sha256 for item in chunks if isinstance(item.event, MediaChunk)}
        types = await self._store.call(load_media_types, self._store.client, files)

        def plan_without(left_out: LeftOut) -> FlushPlan:
            return plan_usable(received, dead, states, end, stored.refused, LEVELS, left_out, types)

        return _Prepared(plan_without, stored)

    async def _store_rows(
        self,
        plan: FlushPlan,
        plan_without: Callable[[LeftOut], FlushPlan],
        inserts: Inserts,
        planned: bool,
    ) -> FlushPlan:
        """Store a plan's rows; return the plan without the rows that ClickHouse refused."""
        left_out, stored = LeftOut(), set[str]()
        if plan.deletions:
            await self._delete(plan)
        while table := next((name for name in plan.tables if name not in stored), None):
            if table == _REACHED:
                await self._store_rollups(plan)
            try:
                await insert_once(self._store, table, plan.tables[table], inserts, doubtful=planned)
            except StoreRejectedError as error:
                if not is_divisible(table, error):
                    raise
                insert = partial(self._store.call, self._store.client.insert, table)
                left_out.add(await insert_divided(insert, table, plan.tables[table], error))
                # The tables that are stored have the same rows in the new plan, so no row has to be taken back.
                plan = await asyncio.to_thread(plan_without, left_out)
            stored.add(table)
        telemetry.count("stepwell_ingestor_refused_events", len(left_out))
        return plan

    async def _delete(self, plan: FlushPlan) -> None:
        """Delete the rows of deleted runs, before a merge can mix them with rows of the runs that take their names."""
        offsets = {path: deletion.offset for path, deletion in plan.deletions.items()}
        await self._store.call(delete_rows, self._store.client, offsets)
        files = {name: size for deletion in plan.deletions.values() for name, size in deletion.files.items()}
        await self._store.call(note_unreferenced, self._store.client, files)
        telemetry.count("stepwell_ingestor_deleted_runs", len(offsets))
        _log.info("runs_deleted", partition=self._partition.partition, runs=len(offsets))

    async def _restore(self, plan: FlushPlan, store: _StorePlan, inserts: Inserts, looks: int) -> FlushPlan:
        """Store a plan's rows again if they may have been lost since the look number `looks`, and are.

        Tables may have been replaced between two inserts by a copy that has the position, but not the rows.
        """
        while self._store.looks != looks:
            looks = self._store.looks
            if not await self._is_stored(plan, inserts.first):
                # The next owner of the partition may have deleted them.
                await inserts.prove_ownership()
                telemetry.count("stepwell_ingestor_inserts_repaired", len(plan.tables))
                _log.warning("flush_repeated", partition=self._partition.partition, first=inserts.first)
                plan = await store(True)
        return plan

    async def _is_stored(self, plan: FlushPlan, first: int) -> bool:
        for table, rows in plan.tables.items():
            if not await self._store.call(rows_are_visible, self._store.client, table, rows, first):
                return False
        return True

    def _report(self, plan: FlushPlan) -> None:
        telemetry.count("stepwell_ingestor_clipped_counts", plan.clipped)
        telemetry.count("stepwell_ingestor_isolated_events", plan.isolated)
        telemetry.count("stepwell_ingestor_dropped_records", plan.dropped)
        unusable = [letter for letter in plan.dead if letter.reason is DeadLetterReason.UNUSABLE]
        for letter in unusable[:_LETTERS_LOGGED]:
            _log.warning("event_unusable", offset=letter.message.offset, detail=letter.detail, of=len(unusable))

    def _load(self, received: Sequence[Received], first: int) -> dict[RunPath, RunState]:
        # In the order of the log and not of a set: the order determines which states are evicted first.
        paths = dict.fromkeys(item.path for item in received)
        states = self._states.known(paths)
        as_of = AsOf(first, () if self.position is None else self.position.voided)
        return states | load_states(self._store.client, [path for path in paths if path not in states], as_of)

    async def _store_rollups(self, plan: FlushPlan) -> None:
        """Store the rollups that the flush's points closed or changed. Idempotent, so it needs no token."""
        clock = asyncio.get_running_loop().time
        began = clock()
        if plan.rollups is not None:
            await self._store.call(self._store.client.insert, TABLE, plan.rollups)
            telemetry.count("stepwell_ingestor_rollup_rows", len(plan.rollups))
        for statement in plan.rollup_plan.statements(plan.end, plan.begins):
            await self._store.call(self._store.client.command, statement.sql, statement.parameters)
            telemetry.count("stepwell_ingestor_rollup_statements")
        telemetry.count("stepwell_ingestor_rollup_seconds", clock() - began)

    async def _tidy(self, media: StoredMedia) -> None:
        try:
            await tidy_media(self._media, media)
        except MediaUnavailableError as error:
            # The flush is stored. The chunks stay below `parts/`, like those of files that were never completed.
            _log.warning("media_pieces_left", folders=len(media.done), error=str(error))
