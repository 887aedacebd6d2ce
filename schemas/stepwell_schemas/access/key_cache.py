"""Answers which key a text is without a statement for each request. Thread-safe.

All valid keys are read together, at most every few seconds, so that requests with wrong keys cost no statements. A key
that is not among them may have been created by another process since: it is read again, at a bounded rate.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from stepwell_schemas.access.key_store import epoch_ms
from stepwell_schemas.access.keys import KEY_PREFIX, ApiKey, hash_key
from stepwell_schemas.errors import StoreError

KEY_CACHE_SECONDS: Final = 5.0
"""Seconds until a revocation is known to every process."""

REFRESH_SECONDS: Final = 2.0
"""Seconds after which known keys are read again by a thread, so that few requests wait for it."""

STALE_SECONDS: Final = 300.0
"""Seconds for which known keys stay valid while ClickHouse does not answer; no key can be revoked then, either."""

REJECTED_MAX: Final = 10_000
"""Hashes of unknown keys that are remembered: 10,000 of about 200 bytes."""

MISSES_PER_SECOND: Final = 10.0
"""Statements that unknown keys cause: a key of another process is accepted immediately, guesses do not add up."""

_MISSES_BURST: Final = 20.0
_KEY: Final = re.compile(re.escape(KEY_PREFIX) + r"[0-9a-f]{64}")


class KeySource(Protocol):
    """The part of a KeyStore that a cache reads."""

    def valid(self, now: int) -> Sequence[ApiKey]:
        """Return the keys that are valid at `now`. Raises: StoreError."""

    def any_exists(self) -> bool:
        """Return True if a key was ever created. Raises: StoreError."""


class UnreadError(Exception):
    """The answer needs a statement; it is raised by `peek` alone."""


class KeyCache:
    """The valid keys by hash. `peek` never blocks; `find` and `controlled` may read from the source."""

    def __init__(
        self,
        source: KeySource,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = epoch_ms,
    ) -> None:
        self._source = source
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._keys: dict[str, ApiKey] = {}
        self._read_at: float | None = None
        self._tried_at = 0.0
        self._any = False
        self._failing = False
        self._retrying = False
        self._rejected: dict[str, None] = {}
        self._misses = _MISSES_BURST
        self._missed_at = clock()

    @property
    def rejected(self) -> int:
        """Return the number of hashes of unknown keys that are remembered."""
        return len(self._rejected)

    def peek(self, text: str) -> ApiKey | None:
        """Return the key that a text is, None if it is none. Raises: UnreadError, when the answer needs a statement."""
        return None if _KEY.fullmatch(text) is None else self.peek_hash(hash_key(text))

    def peek_hash(self, digest: str) -> ApiKey | None:
        """Return the key with a hash, None if there is none. Raises: UnreadError, when the answer needs a statement."""
        if not self._is_fresh():
            raise UnreadError
        key = self._keys.get(digest)
        if key is None and digest not in self._rejected:
            raise UnreadError
        return key if key is not None and key.is_valid(self._now()) else None

    def find(self, text: str) -> ApiKey | None:
        """Return the key that a text is, None if it is none. Raises: StoreError, when that can't be decided."""
        return None if _KEY.fullmatch(text) is None else self.find_hash(hash_key(text))

    def find_hash(self, digest: str) -> ApiKey | None:
        """Return the key with a hash, None if there is none. Raises: StoreError, when that can't be decided."""
        with self._lock:
            self._refresh()
            if digest not in self._keys and digest not in self._rejected and self._may_read_again():
                self._read()
                self._reject(digest)
            key = self._keys.get(digest)
            return key if key is not None and key.is_valid(self._now()) else None

    def peek_any(self) -> bool:
        """Return True if a key was ever created. Raises: UnreadError, when the answer needs a statement."""
        if not self._any and not self._is_fresh():
            raise UnreadError
        return self._any

    def any_exists(self) -> bool:
        """Return True if a key was ever created. Raises: StoreError, when that can't be decided."""
        if not self._any:
            with self._lock:
                self._refresh()
        return self._any

    def forget(self) -> None:
        """Read the keys again before the next answer, since this process has changed them."""
        with self._lock:
            self._read_at = None
            self._tried_at = 0.0
            self._rejected.clear()

    def _is_fresh(self) -> bool:
        """Return True if the known keys may be used now; starts to read them again when they become old."""
        now, read_at = self._clock(), self._read_at
        if read_at is None or now - read_at >= STALE_SECONDS:
            return False
        age = now - read_at
        if age >= KEY_CACHE_SECONDS and not self._failing:
            return False
        if now - max(read_at, self._tried_at) >= REFRESH_SECONDS and not self._retrying:
            self._retrying = True
            threading.Thread(target=self._retry, name="access-keys", daemon=True).start()
        return True

    def _retry(self) -> None:
        try:
            with self._lock:
                self._refresh(again=True)
        except StoreError:
            pass  # The keys are too old now: the next request reports the error.
        finally:
            self._retrying = False

    def _refresh(self, *, again: bool = False) -> None:
        if not again and self._is_fresh():
            return
        try:
            self._read()
        except StoreError:
            if self._read_at is None or self._clock() - self._read_at >= STALE_SECONDS:
                raise
            # From here on, no request waits for ClickHouse's timeout: the thread tries again.
            self._failing = True
        finally:
            self._tried_at = self._clock()

    def _read(self) -> None:
        # The clock before the statement: what changes during it counts as not read.
        began = self._clock()
        keys = self._source.valid(self._now())
        self._any = self._any or bool(keys) or self._source.any_exists()
        self._keys = {key.hash: key for key in keys}
        self._read_at = began
        self._failing = False

    def _may_read_again(self) -> bool:
        now = self._clock()
        self._misses = min(_MISSES_BURST, self._misses + (now - self._missed_at) * MISSES_PER_SECOND)
        self._missed_at = now
        if self._misses < 1:
            return False
        self._misses -= 1
        return True

    def _reject(self, digest: str) -> None:
        """Remember that no key has this hash. A random text does not become a key later, so it needs no expiry."""
        while len(self._rejected) >= REJECTED_MAX:
            self._rejected.pop(next(iter(self._rejected)))
        self._rejected[digest] = None
