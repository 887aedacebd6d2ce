"""Supervision of `stepwell up`: the broker's process, the ingestor's task, ClickHouse, the disk and the event loop.

`supervision`, `disk_space` and `loop_lag` make the decisions; this module observes, acts and logs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import structlog

from stepwell_deploy.errors import BrokerError, PortInUseError, StackError
from stepwell_deploy.local import telemetry
from stepwell_deploy.local.broker_thread import BrokerThread
from stepwell_deploy.local.disk_space import DiskLevel, DiskThresholds, disk_level, free_bytes
from stepwell_deploy.local.exit_deadline import BROKER_SECONDS
from stepwell_deploy.local.kafka import broker_answers
from stepwell_deploy.local.loop_lag import LoopLag
from stepwell_deploy.local.processes import end_reason
from stepwell_deploy.local.supervision import NO_ANSWER, PartState, SupervisedPart
from stepwell_query.readiness import UP, PartReport, Readiness
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreError

_LOOK_SECONDS: Final = 0.25
_DISK_SECONDS: Final = 0.5
_PROBE_SECONDS: Final = 3.0
_LOOP_SECONDS: Final = 0.5
_DISK: Final = "disk_space"
# The engine shares this process and can't be restarted in it. Errors for this long mean that it has ended;
# a slow engine causes no errors.
_ENGINE_SECONDS: Final = 30.0
_log = structlog.get_logger("stepwell.deploy")


class RunningIngestor(Protocol):
    """An ingestor that runs until it is stopped or fails."""

    async def run(self) -> None:
        """Ingest."""

    async def stop(self) -> bool:
        """End `run`; return whether everything that was read is stored."""


class StackSupervisor:
    """Restarts the broker and the ingestor, and stops them while the disk is full.

    Args:
        broker: the thread whose broker runs.
        make_ingestor: returns a new ingestor.
        store: ClickHouse, whose merges are stopped while the disk is full.
        folder: the data folder, whose free space is watched.
        thresholds: thresholds of the free space.
        free: returns the free bytes of a folder.
    """

    def __init__(
        self,
        broker: BrokerThread,
        make_ingestor: Callable[[], RunningIngestor],
        store: Store,
        folder: Path,
        thresholds: DiskThresholds,
        free: Callable[[Path], int] = free_bytes,
    ) -> None:
        now = time.monotonic()
        self._broker = broker
        self._make_ingestor = make_ingestor
        self._store = store
        self._folder = folder
        self._thresholds = thresholds
        self._free = free
        self._level = DiskLevel.ENOUGH
        self._lag = LoopLag()
        self._broker_part = SupervisedPart("broker", now)
        self._broker_part.started(now)
        self._ingestor_part = SupervisedPart("ingestor", now)
        self._ingestor: RunningIngestor | None = None
        self._ingesting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the ingestor. The broker runs already."""
        self._run_ingestor()

    def parts(self) -> Sequence[PartReport]:
        """Return the states of the broker and the ingestor."""
        now = time.monotonic()
        return [self._broker_part.report(now), self._ingestor_part.report(now)]

    async def watch(self, readiness: Readiness) -> None:
        """Supervise until cancelled.

        Raises:
            ExceptionGroup: with StackError when ClickHouse has ended.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_disk())
            group.create_task(self._watch_broker())
            group.create_task(self._probe_broker())
            group.create_task(self._watch_ingestor())
            group.create_task(self._watch_engine(readiness))
            group.create_task(self._watch_loop())

    async def stop_ingestor(self) -> bool:
        """Stop the ingestor; return whether everything that it has read is stored."""
        ingestor, task, self._ingestor, self._ingesting = self._ingestor, self._ingesting, None, None
        if ingestor is None or task is None:
            return True
        if task.done():
            return task.cancelled() or task.exception() is None
        stored = await ingestor.stop()
        # A task that does not react to its cancellation is abandoned.
        with suppress(asyncio.CancelledError, Exception):
            if task.done():
                task.result()
        return stored and task.done()

    async def _watch_broker(self) -> None:
        part = self._broker_part
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            code = self._broker.kafka.exit_code
            if part.state is PartState.UP and code is not None:
                self._report_end(part, end_reason(code), log=str(self._broker.kafka.log_file))
            elif part.state is PartState.UP and self._level >= DiskLevel.FULL:
                clean = await self._broker.stop(BROKER_SECONDS)
                part.hold(time.monotonic(), _DISK)
                _log.error("broker_held", reason=_DISK, clean=clean)
            elif part.state is PartState.DOWN and self._level >= DiskLevel.FULL:
                part.hold(now, _DISK)
            elif part.state is PartState.HELD and self._level < DiskLevel.FULL:
                part.release(now)
            elif part.hangs(now):
                await self._broker.stop(BROKER_SECONDS)
                self._report_end(part, NO_ANSWER)
            elif part.is_due(now):
                await self._restart_broker()
            now = time.monotonic()
            telemetry.part_up("broker", part.is_ready(now))
            telemetry.gauge("stepwell_up_broker_alarm", part.rings(now))

    async def _restart_broker(self) -> None:
        part = self._broker_part
        part.starting(time.monotonic())
        telemetry.part_up("broker", False)
        telemetry.count_restart("broker")
        try:
            await self._broker.restart()
        except PortInUseError as error:
            self._report_end(part, "port_in_use", error=str(error))
        except (BrokerError, OSError) as error:
            self._report_end(part, "did_not_start", error=str(error))
        else:
            part.started(time.monotonic())
            _log.info("broker_restarted", restarts=part.restarts)

    async def _probe_broker(self) -> None:
        part = self._broker_part
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            if part.state is PartState.UP:
                answered = await broker_answers(self._broker.kafka.bootstrap_servers)
                part.answered(time.monotonic(), answered)

    def _run_ingestor(self) -> None:
        self._ingestor = self._make_ingestor()
        self._ingesting = asyncio.create_task(self._ingestor.run(), name="ingestor")
        self._ingestor_part.started(time.monotonic())

    async def _watch_ingestor(self) -> None:
        part = self._ingestor_part
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            short = self._level >= DiskLevel.RESERVED
            if part.state is PartState.UP and self._ingesting is not None and self._ingesting.done():
                self._note_ingestor_end(self._ingesting)
            elif part.state is PartState.UP and short:
                stored = await self.stop_ingestor()
                part.hold(time.monotonic(), _DISK)
                _log.error("ingestor_held", reason=_DISK, stored=stored)
            elif part.state is PartState.DOWN and short:
                part.hold(now, _DISK)
            elif part.state is PartState.HELD and not short:
                part.release(now)
            elif part.is_due(now):
                part.starting(now)
                telemetry.count_restart("ingestor")
                self._run_ingestor()
            now = time.monotonic()
            telemetry.part_up("ingestor", part.is_ready(now))
            telemetry.gauge("stepwell_up_ingestor_alarm", part.rings(now))

    def _note_ingestor_end(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        reason = "ended" if error is None else type(error).__name__
        self._report_end(self._ingestor_part, reason, exc_info=error)

    def _report_end(self, part: SupervisedPart, reason: str, **fields: object) -> None:
        wait = part.ended(time.monotonic(), reason)
        _log.error(f"{part.name}_ended", reason=reason, failures=part.failures, restart_seconds=wait, **fields)

    async def _watch_disk(self) -> None:
        while True:
            with suppress(OSError):
                await self._look_at_disk(self._free(self._folder))
            await asyncio.sleep(_DISK_SECONDS)

    async def _look_at_disk(self, free: int) -> None:
        before, self._level = self._level, disk_level(free, self._thresholds, self._level)
        telemetry.gauge("stepwell_up_disk_free_bytes", free)
        telemetry.gauge("stepwell_up_disk_alarm", self._level >= DiskLevel.LOW)
        telemetry.gauge("stepwell_up_disk_reserve_alarm", self._level >= DiskLevel.RESERVED)
        if before == self._level:
            return
        _log.warning("disk_level_changed", level=self._level.name, free_bytes=free)
        if (before >= DiskLevel.RESERVED) != (self._level >= DiskLevel.RESERVED):
            await self._allow_merges(self._level < DiskLevel.RESERVED)

    async def _allow_merges(self, allowed: bool) -> None:
        statement = "SYSTEM START MERGES" if allowed else "SYSTEM STOP MERGES"
        try:
            await asyncio.to_thread(self._store.command, statement)
        except StoreError as error:
            _log.warning("merges_not_changed", statement=statement, error=str(error))

    async def _watch_engine(self, readiness: Readiness) -> None:
        """End the stack when ClickHouse returns only errors, since it can't be restarted within this process."""
        failing_since: float | None = None
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            report = (await readiness.parts())[0]
            now = time.monotonic()
            if report.state == UP or report.reason == NO_ANSWER:
                failing_since = None
            elif failing_since is None:
                failing_since = now
            elif now - failing_since >= _ENGINE_SECONDS:
                raise StackError(f"ClickHouse has ended within this process ({report.reason}); see the log")

    async def _watch_loop(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(_LOOP_SECONDS)
            now = time.monotonic()
            self._lag.observe(now - began - _LOOP_SECONDS, now)
            telemetry.gauge("stepwell_up_loop_lag_seconds", self._lag.worst(now))
            telemetry.gauge("stepwell_up_loop_alarm", self._lag.rings(now))
