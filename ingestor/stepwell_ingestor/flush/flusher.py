"""Flush a partition exactly once, whatever crashes in between.

1. Load the state of the runs as of the first offset `a`, and store new media files in the media store, so that every
   row stored later finds the files it refers to.
2. Plan the rows, and commit `a` with the plan (the end `b` and a checksum over the records) as metadata. The broker
   accepts this commit from the partition's owner only, so the state loaded before is current.
3. Insert each table's rows under a token made of topic, partition, a, b, the checksum and the table. After the
   points and before `series`, store the rollups that the points close or change (see `rollups/plan`); they need no
   token. If a reply was lost, or a previous owner left the plan, check that the rows are stored (see `insert_check`).
   If ClickHouse refuses rows for their data, store the others, and plan the following tables without them (see
   `refusals` and docs/decisions/0008).
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
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import pyarrow as pa
import structlog
from aiokafka import TopicPartition

from stepwell_ingestor import telemetry
from stepwell_ingestor.errors import LandingError, PartitionsAddedError, PositionLostError
from stepwell_ingestor.flush.buffer import FlushMessages
from stepwell_ingestor.flush.deadletter_delivery import LetterDelivery
from stepwell_ingestor.flush.insert_check import insert_is_visible, rows_are_visible
from stepwell_ingestor.flush.media_upload import StoredMedia, store_media, tidy_media
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
from stepwell_ingestor.positions.gaps import count_removed, find_gaps
from stepwell_ingestor.positions.homes import may_have_moved
from stepwell_ingestor.positions.models import AsOf, LogPosition
from stepwell_ingestor.positions.report import report_missing
from stepwell_ingestor.positions.stored import TABLE as POSITIONS
from stepwell_ingestor.positions.stored import position_row, read_version
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import (
    DeadLetterReason,
    MediaUnavailableError,
    StoreRejectedError,
    StoreUnavailableError,
)
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.events.models import MediaChunk
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rollups.sql import LEVELS, TABLE
from stepwell_schemas.rules.identifiers import RunPath

_FIRST_RETRY_SECONDS: Final = 0.1
_TOKENS: Final = 10
_LETTERS_LOGGED: Final = 10
_CONFIRMED_SECONDS: Final = 2.0
# The table with each series' last step. Readers rely on rollups up to that step, so it is inserted after them.
_REACHED: Final = "series"
_log = structlog.get_logger()
T = TypeVar("T")

_StorePlan = Callable[[bool], Awaitable[FlushPlan]]
"""A function that stores the rows of a flush; its argument is true if they may be stored already."""


class _Prepared(NamedTuple):
    """A function that plans the flush without refused rows, and the media that the flush has stored."""

    plan_without: Callable[[LeftOut], FlushPlan]
    media: StoredMedia


class Flusher:
    """Flushes one partition, one flush after the other. Not safe for concurrent flushes.

    Attributes:
        position: the partition's position, None until it was decided where to continue.
    """

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
        self._client = store
        self._media = media
        self._kafka = kafka
        self._letters = letters
        self._codec = codec
        self._states = states
        self._retry_seconds = retry_seconds
        self._given_up = asyncio.Event()
        self.position: LogPosition | None = None
        self._confirmed_at = 0.0
        self._looks = 0

    def begin(self, position: LogPosition) -> None:
        """Set the position after it was read from the tables, or stored in them."""
        self.position = position
        self._confirmed_at = asyncio.get_running_loop().time()

    async def store_position(self, position: LogPosition) -> None:
        """Store the partition's position, with retries. Raises: StoreError."""
        await self._in_thread(self._client.insert, POSITIONS, position_row(position))
        self.begin(position)

    def give_up(self) -> None:
        """Stop retrying and drop the cached run states, because the partition goes to another owner."""
        self._given_up.set()
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
            StoreUnavailableError: if one of them could not be reached and the flush was given up.
            StoreError: if ClickHouse refuses a statement; nothing is committed then.
            LandingError: if inserted rows can't be read.
            KafkaError: if the broker rejects a commit, for example after a rebalance, or the commit is in doubt.
        """
        position = self.position
        assert position is not None  # noqa: S101 - nothing is flushed before a partition has its position
        messages, found = pending.messages, pending.plan is not None
        if not found:
            await self._refuse_moved_runs(messages, position)
        missing = 0 if found else await self._count_removed(pending)
        mark = await asyncio.to_thread(make_plan, messages, pending.end, position.epoch, pending.plan)
        await self._with_retries(self._confirm)
        flush = flush_range(messages, mark, position.base)
        logical = [shift(message, position.base) for message in messages]
        plan_without, media = await self._prepare(logical, flush.end)
        plan = await asyncio.to_thread(plan_without, LeftOut())
        # Also for a plan that was found: an ingestor that was frozen may have loaded states of later flushes.
        await commit(self._kafka, self._partition, pending.start, mark.text, again=found)
        token = partial(insert_token, self._partition, flush)
        looks, store = self._looks, partial(self._store, plan, plan_without, token, flush.first)
        plan = await self._restore(await store(found), store, flush.first, looks)
        self._report(plan)
        holds_rows = position.holds_rows or bool(plan.tables)
        reached = position.advance(pending.end, boundary_after(messages[-1]), holds_rows=holds_rows, missing=missing)
        looks = self._looks
        await self._with_retries(partial(self._insert_confirmed, POSITIONS, position_row(reached)))
        plan = await self._restore(plan, store, flush.first, looks)
        self.begin(reached)
        if missing:
            report_missing(self._partition, pending.start, missing, reached)
        letters = [letter._replace(message=shift(letter.message, -position.base)) for letter in plan.dead]
        await self._letters.deliver(self._partition, letters, self._given_up)
        await commit(self._kafka, self._partition, pending.end, "")
        self._states.put(plan.states)
        await self._tidy(media)
        return replace(plan, dead=letters)

    async def _refuse_moved_runs(self, messages: Sequence[Message], position: LogPosition) -> None:
        """Look at the topic if an event is in another partition than its key's, before anything of it is planned."""
        log, (topic, number) = position.log, self._partition
        if may_have_moved(messages, number, log.partitions):
            present = await self._kafka.describe_log(topic)
            if present.partitions > log.partitions:
                raise PartitionsAddedError(topic, log.partitions, present.partitions)

    async def _count_removed(self, pending: FlushMessages) -> int:
        """Return how many records retention removed from a flush before they were read.

        A plan that was found has none: the log still begins at its first offset, or it would be no plan any more.
        """
        gaps = find_gaps(pending.start, pending.messages)
        if not gaps:
            return 0
        extents = await self._kafka.extents([self._partition])
        return count_removed(gaps, extents[self._partition].begin)

    async def _confirm(self) -> None:
        """Check that the tables still have the position, if they may have been replaced since it was stored."""
        # Tables can't be emptied or restored between two inserts of a busy partition without an error.
        if asyncio.get_running_loop().time() - self._confirmed_at < _CONFIRMED_SECONDS:
            return
        position = self.position
        assert position is not None  # noqa: S101 - nothing is flushed before a partition has its position
        self._looks += 1
        if await asyncio.to_thread(read_version, self._client, self._partition) < position.version:
            raise PositionLostError(f"{self._partition}: the tables have an earlier position than {position.end}")
        self._confirmed_at = asyncio.get_running_loop().time()

    async def _insert_confirmed(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        """Insert rows into the tables that the flush was planned for.

        In emptied or restored tables, the rows of a flush that was planned before would be states without their past:
        the records before it would count as repeated when they are read again.
        """
        await self._confirm()
        await asyncio.to_thread(self._client.insert, table, rows, token)

    async def _prepare(self, messages: Sequence[Message], end: int) -> _Prepared:
        """Decode messages, load their run states and store their media, before anything is planned."""
        received, dead = await asyncio.to_thread(receive_all, self._codec, messages)
        states, _ = await self._in_thread(self._load, received, messages[0].offset)
        chunks = [item for item in received if isinstance(item.event, MediaChunk)]
        chunks = [item for item in chunks if not is_repeated(item, states[item.path])]
        stored, _ = await self._with_retries(partial(store_media, self._media, chunks))
        files = {item.event.sha256 for item in chunks if isinstance(item.event, MediaChunk)}
        types, _ = await self._in_thread(load_media_types, self._client, files)

        def plan_without(left_out: LeftOut) -> FlushPlan:
            return plan_usable(received, dead, states, end, stored.refused, LEVELS, left_out, types)

        return _Prepared(plan_without, stored)

    async def _store(
        self,
        plan: FlushPlan,
        plan_without: Callable[[LeftOut], FlushPlan],
        token: Callable[[str], str],
        first: int,
        planned: bool,
    ) -> FlushPlan:
        """Store a plan's rows; return the plan without the rows that ClickHouse refused."""
        left_out, stored = LeftOut(), set[str]()
        while table := next((name for name in plan.tables if name not in stored), None):
            if table == _REACHED:
                await self._store_rollups(plan)
            try:
                await self._insert(table, plan.tables[table], token(table), first, doubtful=planned)
            except StoreRejectedError as error:
                if not is_divisible(table, error):
                    raise
                left_out.add(await insert_divided(partial(self._insert_again, table), table, plan.tables[table], error))
                # The tables that are stored have the same rows in the new plan, so no row has to be taken back.
                plan = await asyncio.to_thread(plan_without, left_out)
            stored.add(table)
        telemetry.count("stepwell_ingestor_refused_events", len(left_out))
        return plan

    async def _restore(self, plan: FlushPlan, store: _StorePlan, first: int, looks: int) -> FlushPlan:
        """Store a plan's rows again if they may have been lost since the look number `looks`, and are.

        Tables may have been replaced between two inserts by a copy that has the position, but not the rows.
        """
        while self._looks != looks:
            looks = self._looks
            if not await self._is_stored(plan, first):
                telemetry.count("stepwell_ingestor_inserts_repaired", len(plan.tables))
                _log.warning("flush_repeated", partition=self._partition.partition, first=first)
                plan = await store(True)
        return plan

    async def _is_stored(self, plan: FlushPlan, first: int) -> bool:
        for table, rows in plan.tables.items():
            landed, _ = await self._in_thread(rows_are_visible, self._client, table, rows, first)
            if not landed:
                return False
        return True

    async def _insert_again(self, table: str, rows: pa.Table) -> None:
        await self._in_thread(self._client.insert, table, rows)

    def _report(self, plan: FlushPlan) -> None:
        telemetry.count("stepwell_ingestor_clipped_counts", plan.clipped)
        telemetry.count("stepwell_ingestor_isolated_events", plan.isolated)
        unusable = [letter for letter in plan.dead if letter.reason is DeadLetterReason.UNUSABLE]
        for letter in unusable[:_LETTERS_LOGGED]:
            _log.warning("event_unusable", offset=letter.message.offset, detail=letter.detail, of=len(unusable))

    def _load(self, received: Sequence[Received], first: int) -> dict[RunPath, RunState]:
        # In the order of the log and not of a set: the order determines which states are evicted first.
        paths = dict.fromkeys(item.path for item in received)
        states = self._states.known(paths)
        as_of = AsOf(first, () if self.position is None else self.position.voided)
        return states | load_states(self._client, [path for path in paths if path not in states], as_of)

    async def _insert(self, table: str, rows: pa.Table, token: str, first: int, *, doubtful: bool) -> None:
        """Insert rows exactly once; `doubtful` if an insert under this token may have been attempted before."""
        for number in range(1, _TOKENS + 1):
            numbered = token if number == 1 else f"{token}:{number}"
            _, repeated = await self._with_retries(partial(self._insert_confirmed, table, rows, numbered))
            doubtful = doubtful or repeated
            if not doubtful:
                return
            landed, _ = await self._in_thread(insert_is_visible, self._client, table, rows, first)
            if landed:
                return
            telemetry.count("stepwell_ingestor_inserts_repaired")
            _log.warning("insert_repaired", table=table, token=token)
        raise LandingError(f"table {table}: rows were inserted {_TOKENS} times (token {token}) and can't be read")

    async def _store_rollups(self, plan: FlushPlan) -> None:
        """Store the rollups that the flush's points closed or changed. Idempotent, so it needs no token."""
        clock = asyncio.get_running_loop().time
        began = clock()
        if plan.rollups is not None:
            await self._in_thread(self._client.insert, TABLE, plan.rollups)
            telemetry.count("stepwell_ingestor_rollup_rows", len(plan.rollups))
        for statement in plan.rollup_plan.statements(plan.end):
            await self._in_thread(self._client.command, statement.sql, statement.parameters)
            telemetry.count("stepwell_ingestor_rollup_statements")
        telemetry.count("stepwell_ingestor_rollup_seconds", clock() - began)

    async def _tidy(self, media: StoredMedia) -> None:
        try:
            await tidy_media(self._media, media)
        except MediaUnavailableError as error:
            # The flush is stored. The chunks stay below `parts/`, like those of files that were never completed.
            _log.warning("media_pieces_left", folders=len(media.done), error=str(error))

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> tuple[T, bool]:
        """Run a ClickHouse call in a thread, with retries."""
        return await self._with_retries(partial(asyncio.to_thread, function, *arguments))

    async def _with_retries(self, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the result of `work`, and True if it took more than one attempt."""
        wait, repeated = _FIRST_RETRY_SECONDS, False
        missed: StoreUnavailableError | None = None
        while True:
            try:
                done = await work()
            except StoreUnavailableError as error:
                missed = error
                telemetry.gauge(_alarm(missed), not self._given_up.is_set())
                if self._given_up.is_set():
                    raise
                telemetry.count(_retries(missed))
                _log.warning("store_unreachable", retry_seconds=wait, error=str(error))
            else:
                if missed is not None:
                    telemetry.gauge(_alarm(missed), 0)
                return done, repeated
            with suppress(TimeoutError):
                await asyncio.wait_for(self._given_up.wait(), wait)
            self._confirmed_at = -_CONFIRMED_SECONDS
            wait, repeated = min(2 * wait, self._retry_seconds), True


def _alarm(error: StoreUnavailableError) -> telemetry.GaugeName:
    media = isinstance(error, MediaUnavailableError)
    return "stepwell_ingestor_media_alarm" if media else "stepwell_ingestor_store_alarm"


def _retries(error: StoreUnavailableError) -> telemetry.CounterName:
    media = isinstance(error, MediaUnavailableError)
    return "stepwell_ingestor_media_retries" if media else "stepwell_ingestor_store_retries"
