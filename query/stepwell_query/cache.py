"""An in-memory cache of limited size and age."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from threading import Lock
from typing import Final, Generic, TypeVar

from cachetools import TTLCache

KNOWN_SECONDS: Final = 30.0
"""Age limit of what was read at some progress of a run: rows that are changed by hand leave it the same."""

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Cache(Generic[K, T]):
    """Values by name; the least recently used values are evicted first. Thread-safe.

    Args:
        max_bytes: limit of all values together; a single larger value is not stored.
        size: returns the bytes of a value.
        seconds: age at which values are evicted.
        clock: returns seconds; the age of values is measured with it.
    """

    def __init__(
        self,
        max_bytes: int,
        size: Callable[[T], int],
        seconds: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._size = size
        self._values: TTLCache[K, T] = TTLCache(max_bytes, seconds, clock, size)
        self._lock = Lock()

    def get(self, name: K) -> T | None:
        """Return the value with a name, None if it is not in the cache."""
        return self.get_all([name]).get(name)

    def get_all(self, names: Iterable[K]) -> dict[K, T]:
        """Return the values with some names that are in the cache."""
        with self._lock:
            return {name: value for name in names if (value := self._values.get(name)) is not None}

    def put(self, name: K, value: T) -> None:
        """Store a value as the most recently used one."""
        self.put_all({name: value})

    def put_all(self, values: Mapping[K, T]) -> None:
        """Store values as the most recently used ones."""
        with self._lock:
            for name, value in values.items():
                if self._size(value) <= self._max_bytes:
                    self._values[name] = value
