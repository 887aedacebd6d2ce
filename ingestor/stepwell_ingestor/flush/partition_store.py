"""ClickHouse as the flushes of one partition use it: repeated while unreachable, and checked for replaced tables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import pyarrow as pa
import structlog
from aiokafka import TopicPartition

from stepwell_ingestor import telemetry
from stepwell_ingestor.errors import OvertakenError, PositionLostError
from stepwell_ingestor.positions.models import LogPosition
from stepwell_ingestor.positions.stored import TABLE as POSITIONS
from stepwell_ingestor.positions.stored import position_row, read_version
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import MediaUnavailableError, StoreUnavailableError

_FIRST_RETRY_SECONDS: Final = 0.1
_CONFIRMED_SECONDS: Final = 2.0
_log = structlog.get_logger()
T = TypeVar("T")


class PartitionStore:
    """Calls of one partition's flushes. They are repeated, until `give_up`, while a store can't be reached.

    Attributes:
        client: the connection, for functions that `call` runs.
        position: the partition's position, None until it was decided where to continue.
        reaches: the version of the position after the flush in progress.
        looks: how often the position was read from the tables.
        given_up: set when the partition goes to another owner.
    """

    def __init__(self, partition: TopicPartition, client: Store, retry_seconds: float) -> None:
        self._partition = partition
        self.client = client
        self._retry_seconds = retry_seconds
        self._confirmed_at = 0.0
        self.position: LogPosition | None = None
        self.reaches = 0
        self.looks = 0
        self.given_up = asyncio.Event()

    def begin(self, position: LogPosition) -> None:
        """Set the position after it was read from the tables, or stored in them."""
        self.position, self.reaches = position, position.version
        self._confirmed_at = asyncio.get_running_loop().time()

    async def store_position(self, position: LogPosition) -> None:
        """Store the partition's position. Raises: StoreError."""
        await self.call(self.client.insert, POSITIONS, position_row(position))
        self.begin(position)

    async def confirm(self) -> None:
        """Check that the tables still have the position. Raises: PositionLostError, OvertakenError, StoreError."""
        await self.retry(self._confirm)

    async def insert_confirmed(self, table: str, rows: pa.Table, token: str | None = None) -> bool:
        """Insert rows into the tables that the flush was planned for; return True if it took more than one attempt.

        In emptied or restored tables, the rows of a flush that was planned before would be states without their past:
        the records before it would count as repeated when they are read again.

        Raises:
            PositionLostError: if the tables have an earlier position.
            OvertakenError: if they have a later position than the flush would store.
            StoreError: if ClickHouse refuses the rows, or can't be reached and the partition was given up.
        """

        async def insert() -> None:
            await self._confirm()
            await asyncio.to_thread(self.client.insert, table, rows, token)

        _, repeated = await self.retry(insert)
        return repeated

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a call of ClickHouse in a thread."""
        done, _ = await self.retry(partial(asyncio.to_thread, function, *arguments))
        return done

    async def retry(self, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return the result of `work`, and True if it took more than one attempt."""
        wait, repeated = _FIRST_RETRY_SECONDS, False
        missed: StoreUnavailableError | None = None
        while True:
            try:
                done = await work()
            except StoreUnavailableError as error:
                missed = error
                telemetry.gauge(_alarm(missed), not self.given_up.is_set())
                if self.given_up.is_set():
                    raise
                telemetry.count(_retries(missed))
                _log.warning("store_unreachable", retry_seconds=wait, error=str(error))
            else:
                if missed is not None:
                    telemetry.gauge(_alarm(missed), 0)
                return done, repeated
            with suppress(TimeoutError):
                await asyncio.wait_for(self.given_up.wait(), wait)
            self._confirmed_at = -_CONFIRMED_SECONDS
            wait, repeated = min(2 * wait, self._retry_seconds), True

    async def _confirm(self) -> None:
        """Read the position from the tables, if they may have been replaced since it was stored.

        An ingestor that was frozen may have been overtaken: its rows are stored, and by now they may have been deleted.
        """
        # Tables can't be emptied or restored between two inserts of a busy partition without an error.
        if asyncio.get_running_loop().time() - self._confirmed_at < _CONFIRMED_SECONDS:
            return
        position = self.position
        assert position is not None  # noqa: S101 - nothing is flushed before a partition has its position
        self.looks += 1
        version = await asyncio.to_thread(read_version, self.client, self._partition)
        if version < position.version:
            raise PositionLostError(f"{self._partition}: the tables have an earlier position than {position.end}")
        if version > self.reaches:
            raise OvertakenError(f"{self._partition}: another ingestor has stored the flush after {position.end}")
        self._confirmed_at = asyncio.get_running_loop().time()


def _alarm(error: StoreUnavailableError) -> telemetry.GaugeName:
    media = isinstance(error, MediaUnavailableError)
    return "stepwell_ingestor_media_alarm" if media else "stepwell_ingestor_store_alarm"


def _retries(error: StoreUnavailableError) -> telemetry.CounterName:
    media = isinstance(error, MediaUnavailableError)
    return "stepwell_ingestor_media_retries" if media else "stepwell_ingestor_store_retries"
