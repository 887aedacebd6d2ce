"""Apply changes of stored runs for one request: check the runs, write the events, record them, wait if asked to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import anyio.to_thread
from fastapi import Depends, Request

from stepwell_gateway.changes import RunChange, deletion_event, stop_event
from stepwell_gateway.context import Context, ContextDep
from stepwell_gateway.errors import RunsNotFoundError
from stepwell_gateway.event_log import Position
from stepwell_gateway.stored_runs import are_stored, project_runs, require_runs
from stepwell_schemas.access.audit import Action, AuditEntry
from stepwell_schemas.access.identity import Identity
from stepwell_schemas.access.routes import IdentityDep
from stepwell_schemas.clickhouse.run_rows import TableRows, count_rows
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Event
from stepwell_schemas.events.routing import RoutedEvent
from stepwell_schemas.rules.identifiers import RunPath

_POLL_SECONDS: Final = 0.05
_EVENTS_AT_ONCE: Final = 1_000

MakeEvent = Callable[[RunPath, int], Event]
"""Returns the event for a run, given the present time in µs."""


class Changes:
    """Changes on behalf of one request's identity.

    Errors: RunsNotFoundError, IdentifierError, NoStoreError, StoreError, and those of `EventLog.publish`.
    """

    def __init__(self, context: Context, identity: Identity, address: str) -> None:
        self._context = context
        self._identity = identity
        self._address = address

    async def edit(
        self, entity: str, project: str, run_ids: Sequence[str], change: RunChange, wait: float
    ) -> dict[str, Any]:
        """Change some runs alike; none of them if one does not exist."""
        paths = await self._require(entity, project, run_ids)
        stored = await self._write(paths, change.event, wait)
        self._record(Action.RUN_EDIT, paths, {"fields": sorted(change.model_fields_set)})
        return {"runs": len(paths), "stored": stored}

    async def stop(self, entity: str, project: str, run_ids: Sequence[str], wait: float) -> dict[str, Any]:
        """Ask some runs to stop; none of them if one does not exist."""
        paths = await self._require(entity, project, run_ids)
        stored = await self._write(paths, stop_event, wait)
        self._record(Action.RUN_STOP, paths, {})
        return {"runs": len(paths), "stored": stored}

    async def delete(
        self, entity: str, project: str, run_ids: Sequence[str], wait: float, *, dry_run: bool
    ) -> dict[str, Any]:
        """Delete some runs, none of them if one does not exist; or only say what would go."""
        paths = await self._require(entity, project, run_ids)
        amounts = await self._count(entity, project, [path.run_id for path in paths])
        if dry_run:
            return {"runs": len(paths), **_describe(amounts), "dry_run": True, "stored": None}
        stored = await self._write(paths, deletion_event, wait)
        self._record(Action.RUN_DELETE, paths, {})
        return {"runs": len(paths), **_describe(amounts), "dry_run": False, "stored": stored}

    async def delete_project(self, entity: str, project: str, wait: float, *, dry_run: bool) -> dict[str, Any]:
        """Delete all runs of a project; or only say what would go."""
        paths = await anyio.to_thread.run_sync(project_runs, self._context.store, entity, project)
        if not paths:
            raise RunsNotFoundError((), f"{entity}/{project}")
        amounts = await self._count(entity, project, None)
        if dry_run:
            return {"runs": len(paths), **_describe(amounts), "dry_run": True, "stored": None}
        stored = await self._write(paths, deletion_event, wait)
        self._record(Action.PROJECT_DELETE, [RunPath(entity, project, "")], {"runs": len(paths)})
        return {"runs": len(paths), **_describe(amounts), "dry_run": False, "stored": stored}

    async def _require(self, entity: str, project: str, run_ids: Sequence[str]) -> list[RunPath]:
        return await anyio.to_thread.run_sync(require_runs, self._context.store, entity, project, run_ids)

    async def _count(self, entity: str, project: str, run_ids: Sequence[str] | None) -> list[TableRows]:
        return await anyio.to_thread.run_sync(count_rows, self._context.store, entity, project, run_ids)

    async def _write(self, paths: Sequence[RunPath], make_event: MakeEvent, wait: float) -> bool | None:
        """Write the event of each run to the log; return whether they are stored, None if that is not waited for."""
        at = time.time_ns() // 1_000
        last: dict[int, int] = {}
        for start in range(0, len(paths), _EVENTS_AT_ONCE):
            some = [RoutedEvent(path, encode(make_event(path, at))) for path in paths[start : start + _EVENTS_AT_ONCE]]
            for partition, offset in await self._context.log.publish(some):
                last[partition] = max(offset, last.get(partition, offset))
        return await self._wait([Position(*item) for item in sorted(last.items())], wait) if wait else None

    async def _wait(self, positions: Sequence[Position], seconds: float) -> bool:
        deadline, topic = time.monotonic() + seconds, self._context.settings.events_topic
        while not await anyio.to_thread.run_sync(are_stored, self._context.store, topic, positions):
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    def _record(self, action: Action, paths: Iterable[RunPath], detail: Mapping[str, Any]) -> None:
        audit = self._context.audit
        if audit is not None:
            for path in paths:
                entry = AuditEntry.by(
                    self._identity, action, **path._asdict(), address=self._address, detail=dict(detail)
                )
                audit.record(entry)


def _describe(amounts: Sequence[TableRows]) -> dict[str, Any]:
    return {
        "rows": sum(found.rows for found in amounts),
        "bytes": sum(found.bytes for found in amounts),
        "tables": {found.table: {"rows": found.rows, "bytes": found.bytes} for found in amounts},
    }


async def get_changes(request: Request, context: ContextDep, identity: IdentityDep) -> Changes:
    """Return the changes of a request."""
    return Changes(context, identity, request.client.host if request.client else "")


ChangesDep = Annotated[Changes, Depends(get_changes)]
