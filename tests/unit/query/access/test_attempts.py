from __future__ import annotations

from stepwell_query.access.attempts import ATTEMPT_SECONDS, ATTEMPTS_BURST, CLIENTS_MAX, SignInAttempts


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_client_waits_after_a_burst_of_failures() -> None:
    clock = Clock()
    attempts = SignInAttempts(clock)
    for _ in range(ATTEMPTS_BURST):
        assert attempts.seconds_to_wait("a") == 0
        attempts.failed("a")
    assert attempts.seconds_to_wait("a") == ATTEMPT_SECONDS
    assert attempts.seconds_to_wait("b") == 0
    clock.now += ATTEMPT_SECONDS
    assert attempts.seconds_to_wait("a") == 0
    attempts.failed("a")
    assert attempts.seconds_to_wait("a") == ATTEMPT_SECONDS


def test_a_client_that_waited_long_has_a_whole_burst_again() -> None:
    clock = Clock()
    attempts = SignInAttempts(clock)
    for _ in range(2 * ATTEMPTS_BURST):
        attempts.failed("a")
    clock.now += 2 * ATTEMPTS_BURST * ATTEMPT_SECONDS
    for _ in range(ATTEMPTS_BURST):
        assert attempts.seconds_to_wait("a") == 0
        attempts.failed("a")
    assert attempts.seconds_to_wait("a") > 0


def test_many_clients_take_bounded_memory() -> None:
    attempts = SignInAttempts(Clock())
    for number in range(CLIENTS_MAX + 10):
        attempts.failed(str(number))
    assert len(attempts._full_at) == CLIENTS_MAX
