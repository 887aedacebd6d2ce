"""Carries out one flush so that it counts exactly once, whatever dies in between.

1. Put the media files into their store: whatever comes later, a row finds the files it refers to.
2. Load what is known of the runs as of the first offset `a`, plan the rows, and commit `a` with the plan, the end `b`,
   as metadata. The broker takes that of the partition's owner alone: what was loaded before is what it is to be.
3. Insert each table's rows under a token made of topic, partition, a, b, the table and the first record; behind the
   points and before `series`, the rollups that they close or change (see `rolling`), which need no token. Where a
   reply was lost, or the plan was left by an owner before, look whether they are there (see `landing`).
4. Deliver dead letters, or log them where their topic takes none (see `deadletter_delivery`).
5. Commit `b`.

Whoever owns the partition after a crash finds the plan, reads exactly [a, b) again and repeats the steps: files that
are there stay, rows that had landed are dropped by ClickHouse under their token, what had not lands. A dead letter may
come twice; its headers name the offset it came from.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

import pyarrow as pa
import structlog
from aiokafka import TopicPartition

from stepwell_ingestor import metrics
from stepwell_ingestor.buckets import OpenBuckets
from stepwell_ingestor.clients import Kafka
from stepwell_ingestor.committing import commit
from stepwell_ingestor.deadletter_delivery import LetterDelivery
from stepwell_ingestor.errors import LandingError
from stepwell_ingestor.landing import has_landed
from stepwell_ingestor.loading import load_states
from stepwell_ingestor.media import store_media
from stepwell_ingestor.messages import Message, Received, receive_all
from stepwell_ingestor.plan import FlushPlan, plan_flush
from stepwell_ingestor.state import RunState
from stepwell_schemas.clickhouse import Store
from stepwell_schemas.codec import Codec
from stepwell_schemas.errors import MediaUnavailableError, StoreUnavailableError
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rollups import LEVELS, TABLE

_FIRST_RETRY_SECONDS: Final = 0.1
_TOKENS: Final = 10
# Half a kilobyte each.
_OPEN_SERIES: Final = 200_000
# The table that says how far a series has come. It says so once the rollups are there.
_REACHED: Final = "series"
_log = structlog.get_logger()
T = TypeVar("T")


def insert_token(partition: TopicPartition, messages: Sequence[Message], end: int, table: str) -> str:
    """Return the deduplication token of one table's rows in the flush [first offset, end) of a partition.

    The first record's time and checksum tell the flush from one at the same offsets of a topic made anew.
    """
    first = messages[0]
    record = f"{first.timestamp}:{zlib.crc32(first.value):08x}"
    return f"{partition.topic}:{partition.partition}:{first.offset}:{end}:{record}:{table}"


class StateCache:
    """The states of recently seen runs; the least recently used ones are left to be loaded again.

    Of fewer of them, what their series' open buckets have come to.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: dict[RunPath, RunState] = {}

    def known(self, paths: Iterable[RunPath]) -> dict[RunPath, RunState]:
        """Return the states that are here, of the runs asked for."""
        return {path: self._states[path] for path in paths if path in self._states}

    def put(self, states: Mapping[RunPath, RunState]) -> None:
        """Keep states, as the most recently used ones."""
        for path, state in states.items():
            self._states.pop(path, None)
            self._states[path] = state
        excess = len(self._states) - self._limit
        for path in list(islice(self._states, max(excess, 0))):
            del self._states[path]
        series = sum(len(state.open_buckets.places) for state in self._states.values())
        for state in islice(self._states.values(), max(len(self._states) - len(states), 0)):
            if series <= _OPEN_SERIES:
                break
            series -= len(state.open_buckets.places)
            state.open_buckets = OpenBuckets()


class Flusher:
    """Flushes of one partition, one after the other. Not safe for several flushes of a partition at once."""

    def __init__(
        self,
        partition: TopicPartition,
        *,
        store: Store,
        media: MediaStore,
        kafka: Kafka,
        letters: LetterDelivery,
        codec: Codec,
        runs_in_memory: int,
        retry_seconds: float,
    ) -> None:
        self._partition = partition
        self._store = store
        self._media = media
        self._kafka = kafka
        self._letters = letters
        self._codec = codec
        self._states = StateCache(runs_in_memory)
        self._retry_seconds = retry_seconds
        self._given_up = asyncio.Event()

    def give_up(self) -> None:
        """Try no more where a store can't be reached: the partition goes to another owner."""
        self._given_up.set()

    async def flush(self, messages: Sequence[Message], end: int, planned: bool) -> FlushPlan:
        """Store the messages of [first offset, end); `planned` says that this plan is committed already.

        Retries for as long as ClickHouse or the media store can't be reached, or until `give_up`.

        Raises:
            StoreUnavailableError: when one of them could not be reached and the flush was given up.
            StoreError: when ClickHouse refuses a statement; nothing is committed then.
            LandingError: when what was inserted does not show.
            KafkaError: when the broker refuses a commit, as after a rebalance, or it is in doubt.
        """
        first = messages[0].offset
        plan = await self._plan(messages, end)
        # A plan that was found, too: who was frozen meanwhile may have read states of flushes behind this one.
        await commit(self._kafka, self._partition, first, str(end), again=planned)
        for table, rows in plan.tables.items():
            if table == _REACHED:
                await self._roll(plan, end)
            token = insert_token(self._partition, messages, end, table)
            await self._insert(table, rows, token, first, doubtful=planned)
        await self._letters.deliver(self._partition, plan.dead, self._given_up)
        await commit(self._kafka, self._partition, end, "")
        self._states.put(plan.states)
        return plan

    async def _plan(self, messages: Sequence[Message], end: int) -> FlushPlan:
        received, dead = await asyncio.to_thread(receive_all, self._codec, messages)
        refused, _ = await self._patiently(partial(store_media, self._media, received))
        states, _ = await self._in_thread(self._load, received, messages[0].offset)
        return await asyncio.to_thread(plan_flush, received, dead, states, end, refused, LEVELS)

    def _load(self, received: Sequence[Received], first: int) -> dict[RunPath, RunState]:
        # In the order of the log and not of a set, since the order is that in which states are left out later.
        paths = dict.fromkeys(item.path for item in received)
        states = self._states.known(paths)
        return states | load_states(self._store, [path for path in paths if path not in states], first)

    async def _insert(self, table: str, rows: pa.Table, token: str, first: int, *, doubtful: bool) -> None:
        """Insert rows once; `doubtful` says that an insert under this token may have been begun before."""
        for number in range(1, _TOKENS + 1):
            numbered = token if number == 1 else f"{token}:{number}"
            _, repeated = await self._in_thread(self._store.insert, table, rows, numbered)
            doubtful = doubtful or repeated
            if not doubtful:
                return
            landed, _ = await self._in_thread(has_landed, self._store, table, rows, first)
            if landed:
                return
            metrics.count("stepwell_ingestor_inserts_repaired")
            _log.warning("ClickHouse noted an insert and lost its rows; inserting them again", table=table, token=token)
        raise LandingError(f"table {table}: rows were inserted {_TOKENS} times (token {token}) and do not show")

    async def _roll(self, plan: FlushPlan, end: int) -> None:
        """Store the rollups that the flush's points closed or changed. Done twice it changes nothing: no token."""
        clock = asyncio.get_running_loop().time
        began = clock()
        told = plan.rolling.table(end)
        if told is not None:
            await self._in_thread(self._store.insert, TABLE, told)
            metrics.count("stepwell_ingestor_rollup_rows", len(told))
        for statement in plan.rolling.statements(end):
            await self._in_thread(self._store.command, statement.sql, statement.parameters)
            metrics.count("stepwell_ingestor_rollup_statements")
        metrics.count("stepwell_ingestor_rollup_seconds", clock() - began)

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> tuple[T, bool]:
        """Call what asks ClickHouse, patiently."""
        return await self._patiently(partial(asyncio.to_thread, function, *arguments))

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return what `work` gives, and whether it took more than one try."""
        wait, repeated = _FIRST_RETRY_SECONDS, False
        missed: StoreUnavailableError | None = None
        while True:
            try:
                done = await work()
            except StoreUnavailableError as error:
                missed = error
                metrics.gauge(_alarm(missed), not self._given_up.is_set())
                if self._given_up.is_set():
                    raise
                metrics.count(_retries(missed))
                _log.warning("a store can't be reached; trying again", seconds=wait, error=str(error))
            else:
                if missed is not None:
                    metrics.gauge(_alarm(missed), 0)
                return done, repeated
            with suppress(TimeoutError):
                await asyncio.wait_for(self._given_up.wait(), wait)
            wait, repeated = min(2 * wait, self._retry_seconds), True


def _alarm(error: StoreUnavailableError) -> metrics.GaugeName:
    media = isinstance(error, MediaUnavailableError)
    return "stepwell_ingestor_media_alarm" if media else "stepwell_ingestor_store_alarm"


def _retries(error: StoreUnavailableError) -> metrics.CounterName:
    media = isinstance(error, MediaUnavailableError)
    return "stepwell_ingestor_media_retries" if media else "stepwell_ingestor_store_retries"
