"""The stall alarm of an ingestor: it rings when events wait and no flush completes, whatever the cause."""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn

import structlog

from stepwell_ingestor import telemetry
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store

_LOOK_SECONDS: Final = 1.0
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
    """An ingestor with the stall alarm."""

    def __init__(self, settings: IngestorSettings, store: Store) -> None:
        self._ingestor = Ingestor(settings, store)
        self._stall_seconds = settings.ingestor_stall_seconds

    async def run(self) -> None:
        """Ingest until `stop`. Raises the errors of `Ingestor.run`."""
        watching = asyncio.create_task(self._watch())
        try:
            await self._ingestor.run()
        finally:
            watching.cancel()

    async def stop(self) -> bool:
        """Stop `run`; return True if everything read was stored."""
        return await self._ingestor.stop()

    async def _watch(self) -> NoReturn:
        clock = asyncio.get_running_loop().time
        watch = StallWatch(self._stall_seconds, clock())
        rang = False
        while True:
            status = self._ingestor.status()
            rings = watch.observe(status.lag_events, status.last_flush_at, clock())
            if rings and not rang:
                _log.error("ingestor_stalled", lag_events=status.lag_events, seconds=self._stall_seconds)
            telemetry.gauge("stepwell_ingestor_stalled_alarm", rings)
            rang = rings
            await asyncio.sleep(_LOOK_SECONDS)
