"""State that all requests share, and the dependency that gives it to a route."""

from __future__ import annotations

from typing import Annotated

import anyio
from fastapi import Depends, Request

from stepwell_gateway.errors import NoStoreError
from stepwell_gateway.event_log import EventLog
from stepwell_gateway.settings import GatewaySettings
from stepwell_schemas.access.audit import AuditLog
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.http.bodies import BodyReader

_EXPANDING = 4
"""Bodies that are decompressed concurrently: each takes up to a request's bytes that no other limit counts."""

BODY_SECONDS = 60.0
"""Seconds within which the body of a request with events must arrive: 1 MiB, compressed to a half, at 9 KB/s."""


class Context:
    """State shared by all requests.

    Attributes:
        settings: the settings of the gateway.
        log: puts events on Kafka.
        audit: records changes of stored runs; None without ClickHouse.
        bodies: reads bodies with events.
        expanding: limits the bodies that are decompressed concurrently.
    """

    def __init__(
        self, settings: GatewaySettings, log: EventLog, store: Store | None = None, audit: AuditLog | None = None
    ) -> None:
        self.settings = settings
        self.log = log
        self.audit = audit
        self._store = store
        self.bodies = BodyReader(
            settings.gateway_request_bytes,
            "STEPWELL_GATEWAY_REQUEST_BYTES",
            BODY_SECONDS,
            settings.gateway_buffer_bytes,
        )
        self.expanding = anyio.CapacityLimiter(_EXPANDING)

    @property
    def store(self) -> Store:
        """ClickHouse. Raises: NoStoreError if the gateway has none."""
        if self._store is None:
            raise NoStoreError
        return self._store


# Asynchronous although it awaits nothing: FastAPI runs synchronous dependencies in a thread.
async def get_context(request: Request) -> Context:
    """Return the context of the application that handles the request."""
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(get_context)]
