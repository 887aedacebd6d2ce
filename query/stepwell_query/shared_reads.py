"""Reads that several threads need at the same time: one statement for all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SharedReads(Generic[K, T]):
    """Reads by name, of each name one at a time. Thread-safe.

    A read that is running may have begun before something was stored that a caller knows of. It therefore serves no
    further caller: all that come while it runs are served by the next one.
    """

    def __init__(self) -> None:
        self._running: dict[K, Future[T]] = {}
        self._next: dict[K, Future[T]] = {}
        self._lock = Lock()

    def read(self, name: K, function: Callable[[], T]) -> T:
        """Return the result of a call of `function`, of this caller or of another, that begins after this call."""
        with self._lock:
            if (shared := self._next.get(name)) is None:
                own: Future[T] = Future()
                running = self._running.get(name)
                (self._running if running is None else self._next)[name] = own
        if shared is not None:
            return shared.result()
        if running is not None:
            wait([running])
            with self._lock:
                self._running[name] = self._next.pop(name)
        try:
            own.set_result(function())
        except Exception as error:
            own.set_exception(error)
        with self._lock:
            if self._running.get(name) is own:
                del self._running[name]
        return own.result()
