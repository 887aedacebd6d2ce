"""Answers of the service about a session: each finding is reported once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from stepwell.delivery.stored_content import DELETED, parse_session
from stepwell.session.stop_requests import StopRequests
from stepwell.settings import ProducerSettings
from stepwell_schemas.rules.identifiers import RunPath

RUN = RunPath("me", "p", "r")
COUNTS = dict.fromkeys(("records", "log_rows", "points", "conflicts", "dead_letters", "missing"), 1)
GONE = {"type": "urn:stepwell:problem:run-deleted"}


@pytest.fixture
def seen() -> Counter[str]:
    """The findings that were reported."""
    return Counter()


@pytest.fixture
def requests(seen: Counter[str]) -> StopRequests:
    """The requests of a session, none of which is sent."""

    def report(what: str) -> Callable[[], None]:
        return lambda: seen.update([what])

    return StopRequests(ProducerSettings(), RUN, "s", report("stop"), report("deleted"), report("shared"))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {}, {}),
        (200, [], {}),
        (200, {"stop_requested": False, "writer_shared": False}, {}),
        (200, {"stop_requested": True, "writer_shared": False}, {"stop": 1}),
        (200, {"stop_requested": False, "writer_shared": True}, {"shared": 1}),
        (200, {"stop_requested": True, "writer_shared": True}, {"stop": 1, "shared": 1}),
        (200, {"writer_shared": "yes"}, {}),
        (410, GONE, {"deleted": 1}),
        (404, GONE, {}),
    ],
)
def test_each_finding_is_reported_once(
    requests: StopRequests, seen: Counter[str], status: int, body: Any, expected: dict[str, int]
) -> None:
    for _ in range(2):
        requests.take(status, body)
    assert dict(seen) == expected


def test_a_request_has_its_effect_before_its_flag_is_seen() -> None:
    before: list[tuple[bool, bool]] = []

    def note() -> None:
        before.append((polled.requested, polled.deleted))

    polled = StopRequests(ProducerSettings(), RUN, "s", note, note, note)
    polled.take(200, {"stop_requested": True})
    polled.take(410, GONE)
    assert before == [(False, False), (True, False)]
    assert (polled.requested, polled.deleted) == (True, True)


def test_a_shared_name_that_shows_at_the_end_is_reported_unless_it_was(
    requests: StopRequests, seen: Counter[str]
) -> None:
    requests.take(200, {"writer_shared": True})
    requests.take_shared_writer()
    assert seen == {"shared": 1}


def test_the_account_of_a_session_says_whether_its_writer_is_shared() -> None:
    assert parse_session({**COUNTS, "writer_shared": True}).writer_shared
    assert not parse_session({**COUNTS, "writer_shared": False}).writer_shared
    assert not parse_session(COUNTS).writer_shared, "an earlier service"
    assert DELETED.deleted
    assert not DELETED.writer_shared
