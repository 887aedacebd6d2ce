"""Odd events through decoding and planning: none raises, what is planned fits its columns, and good ones are there."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NoReturn

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.isolation import plan_usable
from stepwell_ingestor.planner.plan import FlushPlan
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import EVENT_TYPES, LogEvent, RunFinished
from stepwell_schemas.limits import COUNT_MAX, EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, MAX_STEP
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.odd_events import frame, mutated, odd_events, plain_record

GOOD_RUN = RunPath("good", "p", "r")
GOOD = encode(LogEvent(**GOOD_RUN._asdict(), data={"good": 1.0}))
PATH = RunPath("e", "p", "r")
NOW = 1_700_000_000_000
FLUSH = 250
INT_FIELD = re.compile(r"\b(exit_code|rows|index|count)=(-?\d+)$")
JSON_COLUMNS = {
    "run_documents": ("config", "summary", "metric_definitions"),
    "points_other": ("value",),
    "points_media": ("value",),
}


def flushes(values: Sequence[bytes], timestamp: int = NOW) -> Iterator[FlushPlan]:
    """Plan message values flush by flush, a good event in each."""
    states: dict[RunPath, RunState] = {}
    iterator = iter(enumerate(values))
    while portion := list(islice(iterator, FLUSH)):
        first = portion[0][0] * 2
        messages = [Message(first + at, timestamp, None, value) for at, (_, value) in enumerate(portion)]
        messages.append(Message(first + len(portion), timestamp, None, GOOD))
        received, dead = receive_all(Codec(), messages)
        before = {item.path: states.get(item.path, RunState()) for item in received}
        plan = plan_usable(received, dead, before, messages[-1].offset + 1)
        assert len(messages) >= len(plan.dead)
        yield plan
        states |= {path: state.settle() for path, state in plan.states.items()}


def _refuse(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")


def check(plan: FlushPlan) -> None:
    """Check that what is planned can be stored, and that the good event is in it."""
    for table, rows in plan.tables.items():
        rows.validate(full=True)
        for column in JSON_COLUMNS.get(table, ()):
            for text in rows.column(column).to_pylist():
                json.loads(text.encode(), parse_constant=_refuse)
        if "timestamp" in rows.column_names:
            times = rows.column("timestamp").cast(pa.int64()).to_pylist()
            assert all(EARLIEST_TIMESTAMP <= time <= LATEST_TIMESTAMP // 1_000 for time in times)
    if plan.rollups is not None:
        plan.rollups.validate(full=True)
    numbers = plan.tables["points_number"]
    assert "good" in numbers.column("entity").to_pylist()
    assert plan.isolated == 0, f"planning failed on {[one.detail for one in plan.dead if one.reason == 'unusable']}"


def test_every_field_at_its_bounds_and_beyond_is_settled() -> None:
    for plan in flushes([value for _, value in odd_events()]):
        check(plan)


@pytest.mark.parametrize("timestamp", [-(2**63), -1, 0, 2**53, 2**63 - 1])
def test_a_record_may_have_any_time(timestamp: int) -> None:
    values = [frame(kind.name, plain_record(kind.name) | {"timestamp": -1}) for kind in EVENT_TYPES]
    for plan in flushes(values, timestamp):
        check(plan)
        assert plan.dead == []


def test_a_number_beyond_its_avro_type_is_a_dead_letter_that_names_it() -> None:
    cases = [(name, value) for name, value in odd_events() if INT_FIELD.search(name)]
    beyond = 0
    for name, value in cases:
        field, number = INT_FIELD.search(name).groups()  # type: ignore[union-attr]
        if -(2**31) <= int(number) < 2**31:
            continue
        beyond += 1
        _, (letter,) = receive_all(Codec(), [Message(0, NOW, None, value)])
        assert field in letter.detail
        assert number in letter.detail
    assert beyond > 50


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_any_mutation_of_events_is_settled(seed: int) -> None:
    rng = random.Random(seed)
    plain = [frame(kind.name, plain_record(kind.name)) for kind in EVENT_TYPES]
    for plan in flushes([mutated(rng, rng.choice(plain)) for _ in range(100)]):
        check(plan)


def test_sums_are_clipped_at_what_their_column_holds() -> None:
    events = [
        LogEvent(**PATH._asdict(), session=f"s{number}", sequence=MAX_STEP, data={"x": 1.0}) for number in range(5)
    ]
    (plan,) = flushes([encode(event) for event in events])
    (activity,) = [row for row in plan.tables["run_activity"].to_pylist() if row["entity"] == PATH.entity]
    assert (activity["totals"]["missing"], plan.clipped) == (COUNT_MAX, 1)
    missing = [row["totals"]["missing"] for row in plan.tables["session_activity"].to_pylist()]
    assert missing == [MAX_STEP] * 5


def test_an_exit_code_is_stored_up_to_its_bounds() -> None:
    for code in (-(2**31), 2**31 - 1):
        (plan,) = flushes([encode(RunFinished(**PATH._asdict(), exit_code=code))])
        codes: list[Any] = plan.tables["run_documents"].column("exit_code").to_pylist()
        assert code in codes
