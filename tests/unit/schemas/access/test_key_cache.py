"""The cache of keys: few statements, whatever is sent; changes are seen within seconds; outages lock no user out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.key_cache import (
    KEY_CACHE_SECONDS,
    REJECTED_MAX,
    STALE_SECONDS,
    KeyCache,
    UnreadError,
)
from stepwell_schemas.access.keys import ApiKey, new_key
from stepwell_schemas.errors import StoreUnavailableError

CREATED = new_key()
KEY = ApiKey(CREATED.key_id, CREATED.hash, "name", "owner", (Grant.parse("read"),), 0)


class Source:
    """Stored keys, which may be unreachable; counts the statements."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = list(keys)
        self.reads = 0
        self.down = False
        self.time = 100.0

    def valid(self, now: int) -> Sequence[ApiKey]:
        """Return the valid keys."""
        self.reads += 1
        if self.down:
            raise StoreUnavailableError("down")
        return [key for key in self.keys if key.is_valid(now)]

    def any_exists(self) -> bool:
        """Return True if there are keys."""
        return bool(self.keys)

    def cache(self) -> KeyCache:
        """Return a cache by this source's time."""
        return KeyCache(self, lambda: self.time, lambda: int(self.time * 1000))


def wait_for_threads() -> None:
    """Wait for the end of reads outside of requests."""
    for thread in threading.enumerate():
        if thread.name == "access-keys":
            thread.join()


def test_a_known_key_needs_one_statement() -> None:
    """The first request reads, those after it do not."""
    source = Source(KEY)
    cache = source.cache()
    with pytest.raises(UnreadError):
        cache.peek(CREATED.text)
    assert cache.find(CREATED.text) == KEY
    for _ in range(100):
        assert cache.peek(CREATED.text) == KEY
    assert source.reads == 1


def test_guesses_cost_few_statements_and_bounded_memory() -> None:
    """20 in a burst, then 10 a second; texts that are no keys cost none."""
    source = Source(KEY)
    cache = source.cache()
    for _ in range(1_000):
        assert cache.find(new_key().text) is None
        assert cache.find("guess") is None
        assert cache.peek("guess") is None
    assert source.reads <= 21
    source.time += 1
    for _ in range(1_000):
        assert cache.find(new_key().text) is None
    assert source.reads <= 31
    assert cache.rejected <= REJECTED_MAX


def test_a_new_key_of_another_process_is_accepted_immediately() -> None:
    """A key that is not known is looked for, although the others were read a moment ago."""
    source = Source()
    cache = source.cache()
    assert not cache.any_exists()
    source.keys.append(KEY)
    assert cache.find(CREATED.text) == KEY
    assert cache.any_exists()


def test_a_revocation_takes_effect_within_the_seconds_of_the_cache() -> None:
    """Another process revokes a key; this one refuses it after KEY_CACHE_SECONDS at most, and itself immediately."""
    source = Source(KEY)
    cache = source.cache()
    assert cache.find(CREATED.text) == KEY
    source.keys = [replace(KEY, revoked=1)]
    source.time += KEY_CACHE_SECONDS
    assert cache.find(CREATED.text) is None
    assert cache.any_exists(), "the service would be open again"
    source.keys = [KEY]
    cache.forget()
    assert cache.find(CREATED.text) == KEY


def test_a_key_expires_at_its_time() -> None:
    """Expiry needs no statement."""
    source = Source(replace(KEY, expires=101_000))
    cache = source.cache()
    assert cache.find(CREATED.text) is not None
    source.time = 101.0
    assert cache.peek(CREATED.text) is None


def test_known_keys_outlast_an_outage_of_some_minutes() -> None:
    """Known keys stay valid, unknown ones can't be decided, and no request waits for the store."""
    source = Source(KEY)
    cache = source.cache()
    assert cache.find(CREATED.text) == KEY
    source.down = True
    source.time += KEY_CACHE_SECONDS
    assert cache.find(CREATED.text) == KEY
    with pytest.raises(StoreUnavailableError):
        cache.find(new_key().text)
    source.time += KEY_CACHE_SECONDS
    assert cache.peek(CREATED.text) == KEY
    wait_for_threads()
    source.time += STALE_SECONDS
    with pytest.raises(StoreUnavailableError):
        cache.find(CREATED.text)
    source.down = False
    assert cache.find(CREATED.text) == KEY


def test_the_first_read_must_succeed() -> None:
    """Without any answer of the store, nothing is known: not even that the service is open."""
    source = Source()
    source.down = True
    cache = source.cache()
    with pytest.raises(StoreUnavailableError):
        cache.any_exists()
    with pytest.raises(StoreUnavailableError):
        cache.find(CREATED.text)
