"""Flush plans of a run's events, and what their rows show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from stepwell_ingestor.messages import Message, Received, receive_all
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Event
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.numbers import with_values

PATH = RunPath("e", "p", "r")
Rows = dict[tuple[str, int], float]


def received(events: Sequence[Event]) -> list[Received]:
    """Return events as they come from Kafka, at offsets from 0."""
    messages = [Message(offset, 0, PATH.kafka_key, encode(event)) for offset, event in enumerate(events)]
    good, dead = receive_all(Codec(), messages)
    assert not dead
    return good


def flushed(items: Sequence[Received], places: Sequence[int] = ()) -> list[FlushPlan]:
    """Plan items in flushes cut at some places, each from the state that the one before left."""
    ends = sorted({min(place, len(items)) for place in places} | {0, len(items)})
    states = {PATH: RunState()}
    plans = []
    for start, end in pairwise(ends):
        plans.append(plan_flush(items[start:end], [], states, end))
        states = plans[-1].states
    return plans


def stored(plans: Sequence[FlushPlan]) -> Rows:
    """Return what ClickHouse would show: of a series' step the value of the highest version."""
    best: dict[tuple[str, int], tuple[int, float]] = {}
    for plan in plans:
        table = plan.tables.get("points_number")
        for row in with_values(table).to_pylist() if table is not None else []:
            place = row["key"], row["step"]
            best[place] = max(best.get(place, (-1, 0.0)), (row["version"], row["value"]), key=lambda one: one[0])
    return {place: value for place, (_, value) in best.items()}


def conflicts(plans: Sequence[FlushPlan]) -> list[tuple[int, int]]:
    """Return the recorded conflicts: requested step, step."""
    tables = [plan.tables["step_conflict_log"] for plan in plans if "step_conflict_log" in plan.tables]
    return [(row["asked_step"], row["step"]) for table in tables for row in table.to_pylist()]
