"""Limits of requests and bytes of one key, as token buckets. They hold for each process of a service on its own.

One `KeyLimits` counts for everything that a process serves, from whatever thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Self

from stepwell_schemas.access.identity import Identity, Method
from stepwell_schemas.settings import AccessSettings

BURST_SECONDS: Final = 10.0
"""Seconds of its rate that a key may use together, since pages and SDKs send requests in groups."""

_PRUNED_AT: Final = 10_000


@dataclass(slots=True)
class _Bucket:
    """Requests and bytes that a key may still use, as of a time. Bytes are counted afterwards, and may be a debt."""

    requests: float
    size: float
    at: float


class KeyLimits:
    """Admits requests of keys within rates; 0 stands for no limit. Users without a key count by name.

    Args:
        requests: requests a second.
        size: bytes a second, of bodies and answers.
        clock: seconds of a monotonic clock.
    """

    def __init__(self, requests: float, size: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._requests = requests
        self._size = size
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: AccessSettings) -> Self | None:
        """Return the limits of the settings, None if there are none."""
        if not settings.key_requests_per_second and not settings.key_bytes_per_second:
            return None
        return cls(settings.key_requests_per_second, settings.key_bytes_per_second)

    def admit(self, identity: Identity) -> float:
        """Count a request; return 0 if it is admitted, otherwise the seconds after which one will be."""
        if identity.method is Method.OPEN:
            return 0.0
        with self._lock:
            bucket = self._bucket(identity)
            wait = 0.0
            if self._requests and bucket.requests < 1:
                wait = (1 - bucket.requests) / self._requests
            if self._size and bucket.size <= 0:
                wait = max(wait, (1 - bucket.size) / self._size)
            if not wait:
                bucket.requests -= 1
            return wait

    def charge(self, identity: Identity, size: int) -> None:
        """Count bytes of an admitted request."""
        if self._size and identity.method is not Method.OPEN:
            with self._lock:
                self._bucket(identity).size -= size

    def _bucket(self, identity: Identity) -> _Bucket:
        now = self._clock()
        name = identity.key_id or f"{identity.method}:{identity.name}"
        bucket = self._buckets.get(name)
        most_requests, most_size = max(1.0, self._requests * BURST_SECONDS), self._size * BURST_SECONDS
        if bucket is None:
            self._prune(now)
            bucket = self._buckets[name] = _Bucket(most_requests, most_size, now)
        passed = now - bucket.at
        bucket.requests = min(most_requests, bucket.requests + passed * self._requests)
        bucket.size = min(most_size, bucket.size + passed * self._size)
        bucket.at = now
        return bucket

    def _prune(self, now: float) -> None:
        """Forget buckets that are full again, which are the same as new ones."""
        if len(self._buckets) >= _PRUNED_AT:
            self._buckets = {
                name: bucket
                for name, bucket in self._buckets.items()
                if now - bucket.at < BURST_SECONDS or bucket.size < 0
            }


class ByteCounter:
    """Counts the bytes of a request's body and of its answer; `receive` and `send` take the place of ASGI's own.

    Attributes:
        size: the bytes so far.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        self._receive = receive
        self._send = send
        self.size = 0

    async def receive(self) -> MutableMapping[str, Any]:
        """Receive a message."""
        message = await self._receive()
        self.size += len(message.get("body", b""))
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send a message."""
        self.size += len(message.get("body", b""))
        await self._send(message)
