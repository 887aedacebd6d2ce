"""Notification of listeners about runs of a project that have changed, from one query a second for all listeners.

A run changes when more of it is stored (its offset), when its document changes (state, config, summary set by hand),
and when its last sign of life becomes too old. The notification does not contain the change: a page requests again what
it shows.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import structlog

from stepwell_query.catalog.conditions import OF_PROJECT
from stepwell_query.runs.fields import FIELDS, STATE
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreError

Position = tuple[int, int, int, str]
"""The position of a run: its last offset (-1: nothing stored), its document's version, its last step, its state."""

Changes = dict[str, Position | None]
"""Changed runs with their positions, None for a run that was deleted."""

_SECONDS: Final = 1.0

_POSITIONS: Final = f"""
SELECT d.run_id AS run_id, if(a.flushes = 0, -1, a.offset) AS offset, d.version AS version,
    if(a.rows = 0, -1, a.step) AS step,
    {FIELDS[STATE].sql} AS state
FROM
(
    SELECT run_id, max(version) AS version, argMax(state, d.version) AS state,
        argMax(started_at, d.version) AS started_at
    FROM {{db}}.run_documents AS d WHERE {OF_PROJECT} GROUP BY run_id
) AS d
LEFT JOIN
(
    SELECT
        run_id, max(last_offset) AS offset, max(last_step) AS step, argMax(totals.log_rows, totals.end) AS rows,
        max(last_timestamp) AS last_timestamp, count() AS flushes
    FROM {{db}}.run_activity WHERE {OF_PROJECT} GROUP BY run_id
) AS a USING (run_id)
"""

_log = structlog.get_logger("stepwell.query")


def read_positions(store: Store, entity: str, project: str, alive_since: int) -> dict[str, Position]:
    """Return the position of each run of a project; none for an unknown project. Raises: StoreError.

    Args:
        alive_since: of the rule of served states (`rules.run_states`).
    """
    parameters = {"entity": entity, "project": project, "alive_since": alive_since}
    rows = store.query(_POSITIONS, parameters).to_pylist()
    return {row["run_id"]: (row["offset"], row["version"], row["step"], row["state"]) for row in rows}


def find_changed(before: dict[str, Position], now: dict[str, Position]) -> Changes:
    """Return the runs that are new or have another position than before, and None for those that were deleted."""
    changed: Changes = {run: position for run, position in now.items() if before.get(run) != position}
    return changed | dict.fromkeys(before.keys() - now.keys())


@dataclass
class _Watch:
    """The known positions of one project, and an event for each listener."""

    positions: dict[str, Position] | None = None
    listeners: set[asyncio.Event] = field(default_factory=set)
    task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        for listener in self.listeners:
            listener.set()


class LiveUpdates:
    """Notifies listeners of changed runs; queries each project once a second, however many listen."""

    def __init__(
        self,
        read: Callable[[str, str], Awaitable[dict[str, Position]]],
        wait: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        """Take the function that reads a project's positions, and the wait between two reads; default: a second."""
        self._read = read
        self._wait = wait or partial(asyncio.sleep, _SECONDS)
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._closed = False

    def close(self) -> None:
        """End all listeners, since the service waits for its answers when it stops."""
        self._closed = True
        for watch in self._watches.values():
            watch.wake()

    async def listen(self, entity: str, project: str, patience: float) -> AsyncIterator[Changes | None]:
        """Yield changed runs, at first all runs; None after `patience` seconds without a change. Ends with `close`."""
        watch = self._watches.setdefault((entity, project), _Watch())
        woken = asyncio.Event()
        watch.listeners.add(woken)
        if watch.task is None:
            watch.task = asyncio.create_task(self._poll(entity, project, watch))
        reported: dict[str, Position] | None = None
        try:
            while not self._closed:
                now = watch.positions
                news: Changes = {} if now is None else find_changed(reported or {}, now)
                if now is not None and (news or reported is None):
                    reported = now
                    yield news
                    continue
                woken.clear()
                try:
                    await asyncio.wait_for(woken.wait(), patience)
                except TimeoutError:
                    yield None
        finally:
            watch.listeners.discard(woken)
            if not watch.listeners:
                watch.task.cancel()
                self._watches.pop((entity, project), None)

    async def _poll(self, entity: str, project: str, watch: _Watch) -> None:
        while True:
            try:
                now = await self._read(entity, project)
            except StoreError as error:
                _log.warning("run_positions_unreadable", error=str(error))
            else:
                if watch.positions is None or find_changed(watch.positions, now):
                    watch.positions = now
                    watch.wake()
            await self._wait()
