"""The stall alarm of an ingestor: it rings when events wait and no flush completes, whatever the cause."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, NoReturn

import structlog

from stepwell_ingestor import telemetry
from stepwell_ingestor.rebuild.unfinished_switch import refuse_interrupted_switch
from stepwell_ingestor.removal.worker import RemovalWorker
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreUnavailableError

_LOOK_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 2.0
_log = structlog.get_logger()


class StallWatch:
    """Decides if an ingestor is stalled; the caller passes the time.

    Args:
        stall_seconds: the longest time that events may wait without progress.
        now: the start time.
    """

    def __init__(self, stall_seconds: float, now: float) -> None:
        self._stall_seconds = stall_seconds
        self._moved_at = now
        self._last_flush_at: float | None = None

    def observe(self, lag_events: int, last_flush_at: float | None, now: float) -> bool:
        """Return True if events wait and no flush has completed for `stall_seconds`."""
        if lag_events == 0 or last_flush_at != self._last_flush_at:
            self._moved_at = now
        self._last_flush_at = last_flush_at
        return now - self._moved_at >= self._stall_seconds


class WatchedIngestor:
    """An ingestor with the stall alarm, and the worker that removes what deleted runs leave."""

    def __init__(self, settings: IngestorSettings, store: Store) -> None:
        self._settings = settings
        self._ingestor: Ingestor | None = None
        self._store = store
        self._stall_seconds = settings.ingestor_stall_seconds
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Ingest until `stop`. Raises the errors of `Ingestor.run`; SwitchInterruptedError before anything is read."""
        if not await self._may_begin():
            return
        self._ingestor = ingestor = Ingestor(self._settings, self._store)
        watching = asyncio.create_task(self._watch(ingestor))
        removing = asyncio.create_task(RemovalWorker(self._settings, self._store).run())
        try:
            await ingestor.run()
        finally:
            watching.cancel()
            removing.cancel()

    async def stop(self) -> bool:
        """Stop `run`; return True if everything read was stored."""
        self._stopping.set()
        return self._ingestor is None or await self._ingestor.stop()

    async def _may_begin(self) -> bool:
        """Wait until the tables can be read, and refuse incomplete ones; return False if `stop` was called."""
        while not self._stopping.is_set():
            try:
                await asyncio.to_thread(refuse_interrupted_switch, self._store)
            except StoreUnavailableError as error:
                _log.warning("store_unreachable", retry_seconds=_RETRY_SECONDS, error=str(error))
                telemetry.gauge("stepwell_ingestor_store_alarm", 1)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _RETRY_SECONDS)
            else:
                telemetry.gauge("stepwell_ingestor_store_alarm", 0)
                return not self._stopping.is_set()
        return False

    async def _watch(self, ingestor: Ingestor) -> NoReturn:
        clock = asyncio.get_running_loop().time
        watch = StallWatch(self._stall_seconds, clock())
        rang = False
        while True:
            status = ingestor.status()
            rings = watch.observe(status.lag_events, status.last_flush_at, clock())
            if rings and not rang:
                _log.error("ingestor_stalled", lag_events=status.lag_events, seconds=self._stall_seconds)
            telemetry.gauge("stepwell_ingestor_stalled_alarm", rings)
            rang = rings
            await asyncio.sleep(_LOOK_SECONDS)
