"""An in-memory cache of limited size."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


class Cache(Generic[T]):
    """Values by name; the least recently used values are evicted first. Thread-safe.

    Args:
        max_bytes: limit of all values together; a single larger value is not stored.
        size: returns the bytes of a value.
    """

    def __init__(self, max_bytes: int, size: Callable[[T], int]) -> None:
        self._max_bytes = max_bytes
        self._size = size
        self._values: LRUCache[str, T] = LRUCache(max_bytes, getsizeof=size)
        self._lock = Lock()

    def get(self, name: str) -> T | None:
        """Return the value with a name, None if it is not in the cache."""
        with self._lock:
            return self._values.get(name)

    def put(self, name: str, value: T) -> None:
        """Store a value as the most recently used one."""
        if self._size(value) <= self._max_bytes:
            with self._lock:
                self._values[name] = value
