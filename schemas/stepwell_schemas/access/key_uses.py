"""Records when keys were last used, at a bounded rate of writes, outside of requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from stepwell_schemas.errors import StoreError

USE_SECONDS: Final = 60.0
"""The resolution of a key's last use: each process writes it at most once in this time."""

WRITE_SECONDS: Final = 5.0
"""Seconds between two writes of a process, each with the uses of all keys since."""

CLOSE_SECONDS: Final = 2.0
"""Seconds that a closing service waits for a write in progress."""

_log = structlog.get_logger("stepwell.access")


class UseSink(Protocol):
    """The part of a KeyStore that takes uses."""

    def touch(self, uses: Mapping[str, int]) -> None:
        """Store the times of the last use of keys. Raises: StoreError."""


class KeyUses:
    """The uses of keys by this process that are not stored yet. Thread-safe."""

    def __init__(self, sink: UseSink, write_seconds: float = WRITE_SECONDS) -> None:
        self._sink = sink
        self._write_seconds = write_seconds
        self._lock = threading.Lock()
        self._written: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._timer: threading.Timer | None = None
        self._wrote_at = float("-inf")

    def note(self, key_id: str, now: int) -> None:
        """Record a use at `now` (milliseconds); a thread writes it."""
        if now - self._written.get(key_id, 0) < USE_SECONDS * 1000:
            return
        with self._lock:
            self._waiting[key_id] = now
            if self._timer is None:
                delay = max(0.0, self._wrote_at + self._write_seconds - time.monotonic())
                self._timer = threading.Timer(delay, self.write)
                self._timer.daemon = True
                self._timer.start()

    def write(self) -> None:
        """Write the uses that are waiting."""
        with self._lock:
            due, self._waiting, self._timer = self._waiting, {}, None
            self._written.update(due)
            self._wrote_at = time.monotonic()
        try:
            self._sink.touch(due)
        except StoreError as error:
            # It is information for administrators, of which the next use is as good.
            _log.warning("key_uses_not_stored", error=str(error))

    def close(self) -> None:
        """Write what is waiting, before the store closes."""
        with self._lock:
            timer = self._timer
        if timer is not None:
            timer.cancel()
            if timer.is_alive():
                timer.join(CLOSE_SECONDS)
            self.write()
