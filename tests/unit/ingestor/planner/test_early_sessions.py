"""Sessions that overtook their predecessors are reported by the plan; nothing is held back for them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.accumulator import EarlySession
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Event, LogEvent, RunStarted
from stepwell_schemas.rules.identifiers import RunPath

PATH = RunPath("e", "p", "r")


def started(session: str, predecessor: str = "", records: int = 0) -> RunStarted:
    """Return the start of a session."""
    return RunStarted(
        **PATH._asdict(), session=session, sequence=0, predecessor=predecessor, predecessor_sequence=records
    )


def row(session: str, sequence: int) -> LogEvent:
    """Return a row of a session."""
    return LogEvent(**PATH._asdict(), session=session, sequence=sequence, data={"a": 1.0})


def early(events: Sequence[Event], state: RunState) -> list[EarlySession]:
    """Plan events; return the sessions that are reported."""
    messages = [Message(offset, 0, PATH.kafka_key, encode(event)) for offset, event in enumerate(events)]
    received, _ = receive_all(Codec(), messages)
    plan = plan_flush(received, [], {PATH: state}, len(events))
    assert not plan.dead
    return list(plan.early)


@pytest.mark.parametrize("stored", [0, 1, 2, 3])
def test_a_session_is_early_by_the_records_that_its_predecessor_still_has(stored: int) -> None:
    state = RunState(sessions={"one": stored} if stored else {})
    missing = [EarlySession(PATH, "two", "one", 3 - stored)] if stored < 3 else []
    assert early([started("two", "one", 3), row("two", 1)], state) == missing


def test_records_of_the_same_flush_count() -> None:
    first = [started("one"), row("one", 1)]
    assert early([*first, started("two", "one", 2)], RunState()) == []
    assert early([started("two", "one", 2), *first], RunState()) == [EarlySession(PATH, "two", "one", 2)]


def test_a_session_without_predecessor_and_a_repetition_are_not_early() -> None:
    assert early([started("one"), started("two", "", 5)], RunState()) == []
    state = RunState(sessions={"two": 1})
    assert early([started("two", "one", 3)], state) == []
