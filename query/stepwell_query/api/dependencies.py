"""Dependencies of the endpoints: the application's shared state, and the run that a URL names."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
import pyarrow as pa
import structlog
from fastapi import Depends, Request

from stepwell_query.api.streams import StreamSlots
from stepwell_query.cache import KNOWN_SECONDS, Cache
from stepwell_query.catalog.models import Activity
from stepwell_query.read_queue import ReadQueue
from stepwell_query.readiness import Parts, Readiness
from stepwell_query.runs.known_details import KnownDetails
from stepwell_query.runs.known_lists import KnownLists
from stepwell_query.runs.live_updates import LiveUpdates, Position, read_positions
from stepwell_query.series.known_rows import Known
from stepwell_query.settings import QuerySettings
from stepwell_query.shared_reads import SharedReads
from stepwell_query.slots import StatementSlots
from stepwell_query.sql.execute import slot_limits
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.access.authenticate import Authenticator
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreError
from stepwell_schemas.limits import MIB
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.migrations.run_states_view import set_crashed_after
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.run_states import alive_since

T = TypeVar("T")
_log = structlog.get_logger("stepwell.query")
_TABLES_BYTES = 256 * MIB
# Approximate size of a cache entry without its value; an empty value takes memory too.
_ENTRY_BYTES = 512


class Context:
    """State shared by all requests: settings, the ClickHouse store, the media store, caches and slots.

    Attributes:
        tables: recently read tables, by the SHA-256 of their files.
        authenticator: finds the identity of requests, and holds the keys.
        audit: records who did what.
        answers: recent responses with series, by their entity tags.
        activity: reads the progress of runs.
        known: what recent requests have read of runs and their series.
        known_details: what recent lists of runs have read of them.
        known_lists: recent pages of lists of runs.
    """

    def __init__(
        self,
        settings: QuerySettings,
        store: Store,
        parts: Parts,
        authenticator: Authenticator,
        audit: AuditLog | None = None,
    ) -> None:
        self.settings = settings
        self.authenticator = authenticator
        self.readiness = Readiness(store, parts)
        self.store = store
        self._owns_audit = audit is None
        self.audit = audit or AuditLog(store, settings.audit_days)
        self.media = MediaStore(settings.media_url)
        self.changes = LiveUpdates(self._positions)
        self.tables: Cache[str, pa.Table] = Cache(_TABLES_BYTES, lambda table: table.nbytes + _ENTRY_BYTES)
        of_answers = settings.query_cache_bytes * 3 // 8
        self.answers: Cache[str, bytes] = Cache(of_answers, lambda answer: len(answer) + _ENTRY_BYTES, KNOWN_SECONDS)
        self.activity: SharedReads[tuple[RunPath, ...], dict[RunPath, Activity]] = SharedReads()
        of_lists = settings.query_cache_bytes // 8
        self.known_lists = KnownLists(of_lists // 2)
        self.known_details = KnownDetails(of_lists - of_lists // 2)
        self.known = Known.of_size(settings.query_cache_bytes - of_answers - of_lists)
        self.sql_slots = StatementSlots(slot_limits(settings))
        self.streams = StreamSlots(settings.query_max_streams, settings.query_max_streams_per_client)
        self._queue = ReadQueue(settings.query_concurrency)
        self._limiter = anyio.CapacityLimiter(settings.query_concurrency)

    def alive_since(self) -> int:
        """Return the time from which on a sign of life of a run counts now (`rules.run_states`)."""
        return alive_since(time.time_ns() // 1_000_000, self.settings.crashed_after_seconds)

    def close(self) -> None:
        """Store the uses of keys, and the entries of an audit log of its own."""
        self.authenticator.keys.close()
        if self._owns_audit:
            self.audit.close()

    async def publish_settings(self) -> None:
        """Make the SQL views use the settings of this service, as far as its ClickHouse user may change views."""
        try:
            await self.in_thread(set_crashed_after, self.store, self.settings.crashed_after_seconds)
        except StoreError as error:
            _log.warning("runs_view_not_set", error=str(error))

    async def _positions(self, entity: str, project: str) -> dict[str, Position]:
        return await self.in_thread(read_positions, self.store, entity, project, self.alive_since())

    async def in_thread(self, function: Callable[..., T], *arguments: Any, expected_seconds: float = 0.0) -> T:
        """Call a blocking function in a thread; at most `query_concurrency` calls run concurrently.

        Others wait, those that are expected to take less time first (`ReadQueue`).
        """
        async with self._queue.slot(expected_seconds):
            return await anyio.to_thread.run_sync(partial(function, *arguments), limiter=self._limiter)


# Asynchronous although it awaits nothing: FastAPI runs synchronous dependencies in a thread, which costs more than
# the work itself.
async def get_context(request: Request) -> Context:
    """Return the context of the application that handles the request."""
    context: Context = request.app.state.context
    return context


async def get_run_path(entity: str, project: str, run_id: str) -> RunPath:
    """Return the run that the URL's path names. Raises: IdentifierError."""
    return RunPath.checked(entity, project, run_id)


ContextDep = Annotated[Context, Depends(get_context)]
RunDep = Annotated[RunPath, Depends(get_run_path)]
