"""Sessions that users have signed out of, until they would have expired. Thread-safe.

Every process reads the list every few seconds, so that a sign-out at one service ends the session at all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

import pyarrow as pa

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreError, StoreRejectedError

ENDED_CACHE_SECONDS: Final = 3.0
"""Seconds until a sign-out is known to every process."""

ENDED_STALE_SECONDS: Final = 300.0
"""Seconds for which the list is used while ClickHouse does not answer."""

_TABLE: Final = "ended_sessions"
# A database of an older version has no such table: UNKNOWN_TABLE, UNKNOWN_DATABASE.
_NO_TABLE: Final = frozenset({60, 81})


class EndedSource(Protocol):
    """The part of a store of ended sessions that a cache uses."""

    def read(self, now: int) -> set[str]:
        """Return the ids of ended sessions that have not expired at `now`. Raises: StoreError."""

    def add(self, session_id: str, expires: int) -> None:
        """Store the end of a session. Raises: StoreError."""


class EndedSessionStore:
    """The list in ClickHouse; the table forgets sessions after they have expired."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, now: int) -> set[str]:
        """Return the ids of ended sessions that have not expired at `now`. Raises: StoreError."""
        statement = f"SELECT session_id FROM {{db}}.{_TABLE} WHERE expires > {{now:Int64}}"  # noqa: S608 - our own names
        try:
            return set(self._store.query(statement, {"now": now}).column("session_id").to_pylist())
        except StoreRejectedError as error:
            if error.code in _NO_TABLE:
                return set()
            raise

    def add(self, session_id: str, expires: int) -> None:
        """Store the end of a session. Raises: StoreError."""
        self._store.insert(_TABLE, pa.table({"session_id": [session_id], "expires": pa.array([expires], pa.int64())}))


class EndedSessions:
    """The list as this process knows it. `peek` never blocks; `contains` may read."""

    def __init__(
        self, source: EndedSource, clock: Callable[[], float] = time.monotonic, now: Callable[[], int] | None = None
    ) -> None:
        self._source = source
        self._clock = clock
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._lock = threading.Lock()
        self._ended: set[str] = set()
        self._read_at: float | None = None
        self._tried_at = 0.0

    def peek(self, session_id: str) -> bool | None:
        """Return whether a session has ended; None if the list has to be read for the answer."""
        if session_id in self._ended:
            return True
        return False if self._is_fresh() else None

    def contains(self, session_id: str) -> bool:
        """Return True if a session has ended. Raises: StoreError, when that can't be decided."""
        with self._lock:
            if session_id not in self._ended and not self._is_fresh():
                self._refresh()
            return session_id in self._ended

    def end(self, session_id: str, expires: int) -> None:
        """End a session, here immediately. Raises: StoreError, when other processes will not know it."""
        with self._lock:
            self._ended = self._ended | {session_id}
        self._source.add(session_id, expires)

    def _is_fresh(self) -> bool:
        if self._read_at is None:
            return False
        return self._clock() - max(self._read_at, self._tried_at) < ENDED_CACHE_SECONDS

    def _refresh(self) -> None:
        began = self._clock()
        try:
            found = self._source.read(self._now())
        except StoreError:
            if self._read_at is None or began - self._read_at >= ENDED_STALE_SECONDS:
                raise
            self._tried_at = began
            return
        # Not replaced: a session that this process has ended may not be readable yet.
        self._ended = found | self._ended if len(self._ended) < 2 * len(found) + 1_000 else found
        self._read_at = began
