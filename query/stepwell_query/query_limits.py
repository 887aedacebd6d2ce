"""Limits of the statements of one request, and the mark by which running statements are found and killed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Self

from stepwell_query.errors import ClientGoneError
from stepwell_query.settings import QuerySettings
from stepwell_schemas.clickhouse.store import Store


@dataclass(frozen=True, slots=True)
class StatementMark:
    """Finds the statements of a request while they run, by their `log_comment`: `str()`."""

    text: str = field(default_factory=lambda: uuid.uuid4().hex)
    _gone: Event = field(default_factory=Event)

    def __str__(self) -> str:
        return self.text

    def check(self) -> None:
        """Raise ClientGoneError if the client has disconnected, so that no further statement starts."""
        if self._gone.is_set():
            raise ClientGoneError

    def end(self, store: Store) -> None:
        """Kill the running statements after the client has left, and send no more. Raises: StoreError."""
        self._gone.set()
        store.kill(self.text)


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """Limits of a request: seconds of each statement, bytes of values in memory. `str()` gives the SETTINGS clause."""

    max_seconds: float
    max_bytes: int
    mark: StatementMark = field(default_factory=StatementMark)
    settings: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, settings: QuerySettings) -> Self:
        """Return the limits of the service's settings."""
        return cls(settings.query_max_seconds, settings.query_max_bytes)

    def with_settings(self, *settings: str) -> Self:
        """Return the same limits with further ClickHouse settings, each as `name = value`."""
        return replace(self, settings=(*self.settings, *settings))

    def __str__(self) -> str:
        given = (
            f"max_execution_time = {self.max_seconds:f}",
            f"log_comment = '{self.mark}'",
            *self.settings,
        )
        return f"SETTINGS {', '.join(given)}"
