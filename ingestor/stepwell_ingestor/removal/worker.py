"""The worker that removes, next to an ingestor, what deleted runs leave and what projects do not keep.

It may die anywhere, and several may run.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, NoReturn

import structlog

from stepwell_ingestor import telemetry
from stepwell_ingestor.removal.late_rows import sweep
from stepwell_ingestor.removal.media import remove_media
from stepwell_ingestor.removal.retention import Timing, make_retention_pass
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreError
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.retention.policies import Pass, PassTimes, Project, read_pass_times, read_policies

_PASS_SECONDS: Final = 60.0
_MILLISECONDS: Final = 1_000
_RUNS_LOGGED: Final = 10
_log = structlog.get_logger()


class RemovalWorker:
    """Makes a pass a minute, or more often if the grace time is shorter; errors end a pass and not the worker."""

    def __init__(self, settings: IngestorSettings, store: Store, media: MediaStore | None = None) -> None:
        self._grace_seconds = settings.media_grace_seconds
        self._interval_seconds = settings.retention_interval_seconds
        self._settle_seconds = settings.retention_settle_seconds
        self._store = store
        self._media = MediaStore(settings.media_url) if media is None else media

    async def run(self) -> NoReturn:
        """Make passes until cancelled."""
        while True:
            await asyncio.sleep(max(1.0, min(self._grace_seconds / 2, self._interval_seconds, _PASS_SECONDS)))
            try:
                await self.make_pass(time.time())
            except StoreError as error:
                _log.warning("removal_failed", error=str(error))

    async def make_pass(self, now: float) -> None:
        """Remove what is due at a time in seconds since the epoch. Raises: StoreError."""
        swept = await asyncio.to_thread(sweep, self._store, now)
        if swept.statements:
            _log.warning("late_rows_deleted", statements=swept.statements)
        telemetry.gauge("stepwell_ingestor_mixed_alarm", bool(swept.mixed))
        if swept.mixed:
            _log.error("runs_mixed", count=len(swept.mixed), runs=[str(run) for run in swept.mixed[:_RUNS_LOGGED]])
        removed = await remove_media(self._store, self._media, self._grace_seconds, now)
        if removed.deleted:
            telemetry.count("stepwell_ingestor_removed_media_files", removed.deleted)
            _log.info("media_removed", files=removed.deleted, bytes=removed.bytes)
        await asyncio.to_thread(self._keep_policies, now)

    def _keep_policies(self, now: float) -> None:
        """Remove what the policies of projects do not keep; a failure of one project ends no other."""
        policies = read_policies(self._store)
        if not policies:
            telemetry.gauge("stepwell_ingestor_retention_alarm", 0)
            return
        times = read_pass_times(self._store)
        timing = Timing(
            round(now * _MILLISECONDS),
            round(self._interval_seconds * _MILLISECONDS),
            round(self._settle_seconds * _MILLISECONDS),
        )
        failed = False
        for project, stored in policies.items():
            try:
                made = make_retention_pass(self._store, project, stored.policy, times.get(project, PassTimes()), timing)
            except StoreError as error:
                failed = True
                telemetry.count("stepwell_ingestor_retention_failures")
                _log.error("retention_failed", entity=project.entity, project=project.project, error=str(error))
            else:
                _report_pass(project, made, now)
        telemetry.gauge("stepwell_ingestor_retention_alarm", failed)


def _report_pass(project: Project, made: Pass | None, now: float) -> None:
    if made is None:
        return
    telemetry.gauge("stepwell_ingestor_retention_last_pass_timestamp_seconds", now)
    telemetry.count("stepwell_ingestor_retention_rows", made.rows)
    telemetry.count("stepwell_ingestor_retention_late_rows", made.late_rows)
    telemetry.count("stepwell_ingestor_retention_bytes", made.bytes)
    telemetry.count("stepwell_ingestor_retention_files", made.files)
    if made.rows or made.files:
        _log.info(
            "retention_pass",
            entity=project.entity,
            project=project.project,
            rows=made.rows,
            bytes=made.bytes,
            files=made.files,
        )
