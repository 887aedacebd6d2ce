"""A store whose answers stop in the middle, for interrupted scans."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreUnavailableError

_HELD_SECONDS: Final = 60


class PausingStore:
    """A store whose statements over values wait, or fail once, from the `after`-th on; others are passed on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.after: int | None = None
        self.fails = False
        self.free = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def stream(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Iterator[pa.RecordBatch]:
        if self.after is not None:
            self.after -= 1
            if self.after < 0 and self.fails:
                self.after = None
                raise StoreUnavailableError("gone for a moment")
            if self.after < 0:
                self.free.wait(_HELD_SECONDS)
        return self._store.stream(sql, parameters)
