"""What was read or answered lately, up to a size in memory."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


class Cache(Generic[T]):
    """Values by name, the longest unused of which go first. Thread-safe.

    Args:
        max_bytes: of all values together; one that takes more alone is not kept.
        size: tells the bytes of a value.
    """

    def __init__(self, max_bytes: int, size: Callable[[T], int]) -> None:
        self._max_bytes = max_bytes
        self._size = size
        self._kept: LRUCache[str, T] = LRUCache(max_bytes, getsizeof=size)
        self._lock = Lock()

    def get(self, name: str) -> T | None:
        """Return a value that is kept."""
        with self._lock:
            return self._kept.get(name)

    def put(self, name: str, value: T) -> None:
        """Keep a value, as the most recently used one."""
        if self._size(value) <= self._max_bytes:
            with self._lock:
                self._kept[name] = value
