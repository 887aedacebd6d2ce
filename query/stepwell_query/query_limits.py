"""Limits of the statements that answer one request, and the mark by which they are found and ended."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Self

from stepwell_query.errors import ClientGoneError
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What the statements of a request may take: seconds each, bytes of values at once. As text, settings."""

    max_seconds: float
    max_bytes: int
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    settings: tuple[str, ...] = ()
    _gone: Event = field(default_factory=Event)

    @classmethod
    def from_settings(cls, settings: QuerySettings) -> Self:
        """Return the limits that the service's settings give."""
        return cls(settings.query_max_seconds, settings.query_max_bytes)

    def with_settings(self, *settings: str) -> Self:
        """Return the same limits with further settings of ClickHouse, `name = value` each, behind them."""
        return replace(self, settings=(*self.settings, *settings))

    def __str__(self) -> str:
        given = (
            f"max_execution_time = {self.max_seconds:f}",
            f"log_comment = '{self.mark}'",
            *self.settings,
        )
        return f"SETTINGS {', '.join(given)}"

    def check(self) -> None:
        """Raise ClientGoneError when whoever asked has gone: no further statement is to begin."""
        if self._gone.is_set():
            raise ClientGoneError

    def end(self, store: Store) -> None:
        """End the request's statements that are running, when whoever asked has gone. Raises: StoreError."""
        self._gone.set()
        store.kill(self.mark)
