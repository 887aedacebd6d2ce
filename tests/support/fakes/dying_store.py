"""A store whose process dies at a statement."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from stepwell_schemas.clickhouse.store import Store


class KilledError(Exception):
    """Stands for the end of the process."""


class DyingStore(Store):
    """A store whose process dies at a statement that changes data, before or after it was carried out."""

    def __init__(self, store: Store, lives: int, *, after: bool) -> None:
        self._store = store
        self._lives = count(lives, -1)
        self._after = after
        self.database = store.database

    def query(self, sql: str, parameters: Any = None) -> Any:
        """Ask the real store."""
        return self._store.query(sql, parameters)

    def command(self, sql: str, parameters: Any = None) -> None:
        """Command the real store, or die."""
        self._live(lambda: self._store.command(sql, parameters))

    def insert(self, table: str, rows: Any, token: str | None = None) -> None:
        """Insert into the real store, or die."""
        self._live(lambda: self._store.insert(table, rows, token))

    def _live(self, change: Callable[[], None]) -> None:
        lives = next(self._lives)
        if lives or self._after:
            change()
        if not lives:
            raise KilledError
