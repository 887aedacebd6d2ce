"""Eviction of the in-memory cache."""

from __future__ import annotations

from stepwell_query.cache import Cache


def kept(cache: Cache[str, bytes]) -> str:
    """Return which of the names a, b, c, d have a value."""
    return "".join(name for name in "abcd" if cache.get(name) is not None)


def test_the_longest_unused_goes() -> None:
    cache: Cache[str, bytes] = Cache(20, len)
    cache.put("a", bytes(10))
    cache.put("b", bytes(10))
    assert cache.get("a") == bytes(10)
    cache.put("c", bytes(10))
    assert kept(cache) == "ac"
    cache.put("d", bytes(20))
    assert kept(cache) == "d"


def test_one_that_takes_more_than_all_may_is_not_kept() -> None:
    cache: Cache[str, bytes] = Cache(20, len)
    cache.put("a", bytes(10))
    cache.put("b", bytes(21))
    assert kept(cache) == "a"


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache: Cache[str, bytes] = Cache(0, lambda value: len(value) + 1)
    cache.put("a", b"")
    assert kept(cache) == ""


def test_a_value_is_kept_for_its_age_however_often_it_is_read() -> None:
    now = [0.0]
    cache: Cache[str, bytes] = Cache(20, len, 30.0, lambda: now[0])
    cache.put("a", b"x")
    for seconds in (15.0, 29.0):
        now[0] = seconds
        assert kept(cache) == "a"
    now[0] = 31.0
    assert kept(cache) == ""
