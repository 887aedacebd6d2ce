"""Events that planning fails on: each is one dead letter, and the others are planned as if it had never come."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell_ingestor.messages import Message, Received, receive_all
from stepwell_ingestor.planner import plan as planner
from stepwell_ingestor.planner.isolation import plan_usable
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.rules.identifiers import RunPath

PATHS = [RunPath("e", "p", "one"), RunPath("e", "p", "two")]
COUNT = 24
Take = Callable[[Any, Received], None]


def logged() -> list[Received]:
    """Return calls of two runs, at offsets from 0."""
    events = [
        LogEvent(**PATHS[number % 2]._asdict(), session=f"s{number}", sequence=0, data={f"key {number % 5}": number})
        for number in range(COUNT)
    ]
    received, dead = receive_all(Codec(), [Message(at, 0, None, encode(event)) for at, event in enumerate(events)])
    assert not dead
    return received


def tables(plan: FlushPlan) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a plan."""
    return {name: rows.to_pylist() for name, rows in plan.tables.items()}


def failing(monkeypatch: pytest.MonkeyPatch, bad: frozenset[int], error: BaseException, together: int = 1) -> list[int]:
    """Let planning fail once it has met so many of some offsets; return where the number of events planned is put."""
    take: Take = planner._take
    met: dict[int, list[Any]] = {}
    planned = [0]

    def take_or_fail(flush: Any, item: Received) -> None:
        planned[0] += 1
        take(flush, item)
        if item.message.offset in bad:
            # The flush is held, so that no other one gets its id.
            met.setdefault(id(flush), []).append(flush)
            if len(met[id(flush)]) == together:
                raise error

    monkeypatch.setattr(planner, "_take", take_or_fail)
    return planned


ERRORS = [ValueError("x" * 9_999), MemoryError(), RecursionError()]


@settings(max_examples=25, deadline=None)
@given(st.frozensets(st.integers(0, COUNT - 1)), st.sampled_from(ERRORS))
def test_the_others_are_planned_as_if_it_had_never_come(bad: frozenset[int], error: Exception) -> None:
    items = logged()
    before = {path: RunState() for path in PATHS}
    wanted = plan_flush([item for item in items if item.message.offset not in bad], [], before, COUNT)
    with pytest.MonkeyPatch.context() as monkeypatch:
        planned = failing(monkeypatch, bad, error)
        plan = plan_usable(items, [], before, COUNT)
    assert tables(plan) == tables(wanted)
    assert before == {path: RunState() for path in PATHS}
    assert [(letter.message.offset, letter.reason) for letter in plan.dead] == [(at, "unusable") for at in sorted(bad)]
    assert all(letter.detail.startswith(type(error).__name__) and len(letter.detail) < 600 for letter in plan.dead)
    assert plan.isolated == len(bad)
    assert planned[0] <= COUNT * (3 + math.log2(COUNT))


def test_events_that_fail_only_together_lose_the_last_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # Apart, as halves of halves, they never meet; so only the plan of all of them fails.
    failing(monkeypatch, frozenset({3, 20}), ValueError(), together=2)
    plan = plan_usable(logged(), [], {path: RunState() for path in PATHS}, COUNT)
    assert [letter.message.offset for letter in plan.dead] == [20]


def test_an_interruption_is_no_matter_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, frozenset({3}), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        plan_usable(logged(), [], {path: RunState() for path in PATHS}, COUNT)


def test_what_decoding_raises_is_a_dead_letter_of_one_message() -> None:
    class Broken(Codec):
        def decode(self, payload: bytes) -> Any:
            if payload == b"bad":
                raise RuntimeError("no way")
            return super().decode(payload)

    good = encode(LogEvent(**PATHS[0]._asdict(), data={}))
    received, dead = receive_all(
        Broken(), [Message(at, 0, None, value) for at, value in enumerate((good, b"bad", good))]
    )
    assert [item.message.offset for item in received] == [0, 2]
    assert [(letter.message.offset, letter.reason, letter.detail) for letter in dead] == [
        (1, "unusable", "RuntimeError: no way")
    ]
