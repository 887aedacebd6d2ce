"""Decisions about connections: when to try again, and when a transport counts as stalled."""

from __future__ import annotations

import pytest
from aiokafka import errors as kafka
from hypothesis import given
from hypothesis import strategies as st

from stepwell.delivery import transport
from stepwell.delivery.blocked import Blocked, classify_error
from stepwell.delivery.reconnect import (
    is_other_cluster,
    next_stalls,
    retry_delay,
    stall_limit,
)
from stepwell.errors import NotConnectedError
from stepwell_schemas.kafka.producer import StalledError


@given(st.integers(0, 100), st.floats(0.01, 300), st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_a_bound_and_differ_between_processes(attempt: int, base: float, draw: float) -> None:
    delay = retry_delay(attempt, base, draw)
    assert base / 2 <= delay <= 8 * base
    assert retry_delay(attempt, base, 0) < retry_delay(attempt, base, 0.9)
    assert retry_delay(attempt, base, draw) <= retry_delay(attempt + 1, base, draw)
    assert retry_delay(0, base, draw) <= base


def test_a_slow_link_gets_more_time_and_keeps_it() -> None:
    """A batch takes 35 s: the limit grows until it passes, and progress never brings it below that for good."""
    stalls, limits = 0, list[float]()
    while stall_limit(10, stalls) < 35 and len(limits) < 5:
        limits.append(stall_limit(10, stalls))
        stalls = next_stalls(stalls, progressed=False)
    assert limits == [10, 20]
    assert next_stalls(stalls, progressed=True) == stalls - 1


@given(st.lists(st.booleans()))
def test_limits_stay_within_their_bounds(progress: list[bool]) -> None:
    stalls = 0
    for progressed in progress:
        stalls = next_stalls(stalls, progressed=progressed)
        assert 10 <= stall_limit(10, stalls) <= 160


@pytest.mark.parametrize(
    ("known", "present", "other"), [("a", "b", True), ("a", "a", False), ("", "b", False), ("a", "", False)]
)
def test_an_unknown_id_is_no_other_cluster(known: str, present: str, other: bool) -> None:
    assert is_other_cluster(known, present) == other


def _caused(cause: BaseException) -> NotConnectedError:
    error = NotConnectedError("not connected")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "blocked"),
    [
        (_caused(ConnectionRefusedError()), Blocked.NO_BROKER),
        (_caused(TimeoutError()), Blocked.NO_BROKER),
        (_caused(kafka.KafkaConnectionError()), Blocked.NO_BROKER),
        (NotConnectedError(), Blocked.NO_BROKER),
        (_caused(kafka.UnknownTopicOrPartitionError()), Blocked.NO_TOPIC),
        (_caused(kafka.SaslAuthenticationFailed()), Blocked.NOT_AUTHORIZED),
        (_caused(kafka.AuthenticationFailedError()), Blocked.NOT_AUTHORIZED),
        (_caused(kafka.ClusterAuthorizationFailedError()), Blocked.NOT_AUTHORIZED),
        (kafka.TopicAuthorizationFailedError(), Blocked.NOT_AUTHORIZED),
        (kafka.MessageSizeTooLargeError(), Blocked.MESSAGE_TOO_LARGE),
        (StalledError(), Blocked.NO_ACKNOWLEDGEMENT),
        (transport.StalledError(), Blocked.NO_ACKNOWLEDGEMENT),
        (transport.EventTooLargeError(), Blocked.MESSAGE_TOO_LARGE),
        (transport.TransportError(blocked=Blocked.NO_GATEWAY), Blocked.NO_GATEWAY),
        (NotConnectedError(blocked="not-authorized"), Blocked.NOT_AUTHORIZED),
        (kafka.NotEnoughReplicasError(), Blocked.BROKER_ERROR),
        (ZeroDivisionError(), Blocked.BROKER_ERROR),
    ],
)
def test_each_error_has_a_reason(error: BaseException, blocked: Blocked) -> None:
    assert classify_error(error) is blocked
