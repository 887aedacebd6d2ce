"""Limits of keys: a rate over some seconds, and a wait that is long enough."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_schemas.access.grants import Grant
from stepwell_schemas.access.identity import OPEN_IDENTITY, Identity, Method
from stepwell_schemas.access.key_limits import BURST_SECONDS, KeyLimits

READ = (Grant.parse("read"),)
ONE, TWO = Identity("ann", Method.KEY, READ, "1"), Identity("ann", Method.KEY, READ, "2")


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@given(rate=st.floats(0.1, 100), pauses=st.lists(st.floats(0, 5), max_size=50))
def test_no_more_than_the_rate_is_admitted(rate: float, pauses: list[float]) -> None:
    """Over any time, the requests of a burst and those of the rate since are admitted, and not one more."""
    clock = Clock()
    limits = KeyLimits(rate, 0, clock)
    admitted = 0
    for pause in pauses:
        clock.now += pause
        for _ in range(20):
            admitted += limits.admit(ONE) == 0
    assert admitted <= max(1, rate * BURST_SECONDS) + rate * clock.now + 1e-6


@given(rate=st.floats(0.1, 100))
def test_a_request_after_the_wait_is_admitted(rate: float) -> None:
    """`Retry-After` says when the next request is admitted, and no sooner."""
    clock = Clock()
    limits = KeyLimits(rate, 0, clock)
    while not (wait := limits.admit(ONE)):
        pass
    clock.now += wait / 2
    assert limits.admit(ONE) > 0
    clock.now += wait / 2 + 1e-6
    assert limits.admit(ONE) == 0


def test_each_key_has_its_own_limit_and_an_open_service_none() -> None:
    """One key does not use up another's rate."""
    limits = KeyLimits(0.1, 0, Clock())
    assert (limits.admit(ONE), limits.admit(TWO)) == (0, 0)
    assert limits.admit(ONE) > 0
    assert not any(limits.admit(OPEN_IDENTITY) for _ in range(100))


@pytest.mark.parametrize(("size", "admitted"), [(999, True), (1_000, False), (100_000, False)])
def test_bytes_are_counted_afterwards(size: int, admitted: bool) -> None:
    """An answer may exceed what is left; the next request waits until the debt is paid."""
    clock = Clock()
    limits = KeyLimits(0, 100, clock)
    assert limits.admit(ONE) == 0
    limits.charge(ONE, size)
    assert (limits.admit(ONE) == 0) is admitted
    clock.now += max(0, size - 1_000) / 100 + 1
    assert limits.admit(ONE) == 0
