"""A replay of a log without its beginning: what is gone was stored, and is not missing."""

from __future__ import annotations

from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.verify.replay import seed_state
from stepwell_schemas.events.models import LogEvent
from support.factories.plans import PATH, received, stored


def test_a_session_begins_at_its_first_record_in_the_log_and_earlier_ones_are_repetitions() -> None:
    events = [
        LogEvent(**PATH._asdict(), session="s", sequence=number, data={"x": float(number)}) for number in (7, 8, 6, 7)
    ]
    items, state = received(events), RunState()
    seed_state(state, items, 40)
    plan = plan_flush(items, [], {PATH: state}, len(items))
    assert stored([plan]) == {("x", 40): 7.0, ("x", 41): 8.0}
    assert (plan.states[PATH].session_counts["s"].missing, plan.repeated) == (0, 2)


def test_sessions_from_their_first_record_on_and_redriven_letters_are_left_alone() -> None:
    events = [
        LogEvent(**PATH._asdict(), session=name, sequence=number, data={}) for name, number in (("a", 0), ("b", 5))
    ]
    items, state = received(events), RunState()
    items[1] = items[1]._replace(message=items[1].message._replace(origin="events/0/7"))
    seed_state(state, items, 0)
    assert state.sessions == {}
