"""Steps that sessions decide: in whatever order they arrive, and however their rows are cut, each row has its step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.session_steps import COUNTED, FINAL, REQUESTED, RESUMED
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, Event, LogBatch, LogEvent, RunStarted
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.steps import MAX_CURRENT_STEP, NO_STEP, StepState, advance, commit_code, resolve
from support.factories.plans import PATH, Rows, conflicts, flushed, received, stored

RUN = PATH._asdict()
Call = tuple[int | None, bool | None]

calls = st.lists(st.tuples(st.none() | st.integers(-2, 12), st.sampled_from([None, None, True, False])), max_size=12)
cuts = st.lists(st.integers(0, 40), max_size=4)


def batch_of(session: str, logged: Sequence[Call], first: int, end: int, start: StepState, **fields: Any) -> LogBatch:
    """Return the calls [first, end) of a session that starts at `start`; each logs its number under the session's key.

    Record 0 of the session is its start.
    """
    asked = np.array([NO_STEP if step is None else step for step, _ in logged], "<i8")
    codes = np.array([commit_code(commit) for _, commit in logged], np.int8)
    before = resolve(start, asked[:first], codes[:first], first).state
    numbers = np.arange(first, end, dtype="<f8")
    return LogBatch(
        **RUN, session=session, sequence=first + 1, rows=end - first,
        timestamps=np.zeros(end - first, "<i8").tobytes(), steps=asked[first:end].tobytes(),
        commits=codes[first:end].tobytes(),
        blocks=[Block(kind=Kind.NUMBER, keys=[session], packed=numbers.tobytes())],
        **{"current_step": before.current, "row_begun": before.begun} | fields,
    )  # fmt: skip


def batches(session: str, logged: Sequence[Call], places: Sequence[int], start: StepState) -> list[Event]:
    """Return a session's calls as batches cut at some places."""
    ends = sorted({min(place, len(logged)) for place in places} | {0, len(logged)})
    return [batch_of(session, logged, first, end, start) for first, end in pairwise(ends)]


def started(session: str, lineage: str, step: int = 0, **fields: Any) -> RunStarted:
    """Return the start of a session that belongs to a line."""
    return RunStarted(**RUN, session=session, sequence=0, lineage=lineage, lineage_step=step, **fields)


def modelled(sessions: Sequence[Sequence[Call]], starts: Sequence[int]) -> tuple[Rows, list[tuple[int, int]]]:
    """Return the rows and conflicts of sessions that each count their own steps."""
    rows: Rows = {}
    found = []
    for number, (logged, start) in enumerate(zip(sessions, starts, strict=True)):
        state = StepState(start)
        for value, (asked, commit) in enumerate(logged):
            decision = advance(state, asked, commit)
            state = decision.state
            rows[f"s{number}", decision.step] = float(value)
            if decision.conflict and asked is not None:
                found.append((asked, decision.step))
    return rows, found


def in_turns(lists: Sequence[list[Event]], turns: Sequence[int]) -> list[Event]:
    """Return the events of several producers as one log: each producer's in its order."""
    left = [list(events) for events in lists]
    log = []
    for turn in turns:
        events = left[turn % len(left)]
        if events:
            log.append(events.pop(0))
    return log + [event for events in left for event in events]


@given(st.lists(st.tuples(calls, st.integers(0, 9)), min_size=1, max_size=4), cuts, cuts, st.data())
def test_each_session_s_rows_have_its_steps_in_whatever_order_sessions_arrive(
    drawn: list[tuple[list[Call], int]], places: list[int], flushes: list[int], data: st.DataObject
) -> None:
    sessions, starts = [logged for logged, _ in drawn], [start for _, start in drawn]
    lists = [
        [started(f"s{number}", "s0", resumed=number > 0), *batches(f"s{number}", logged, places, StepState(start))]
        for number, (logged, start) in enumerate(drawn)
    ]
    turns = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=30))
    plans = flushed(received(in_turns(lists, turns)), flushes)
    rows, found = modelled(sessions, starts)
    assert stored(plans) == rows
    assert sorted(conflicts(plans)) == sorted(found)


@given(calls, st.integers(0, 9), cuts, cuts, cuts)
def test_a_session_sent_again_counts_once_however_it_is_cut_again(
    logged: list[Call], start: int, places: list[int], again: list[int], flushes: list[int]
) -> None:
    state = StepState(start)
    other = LogEvent(**RUN, step=50, data={"other": 1.0})
    events = [*batches("s0", logged, places, state)[:-1], other, *batches("s0", logged, again, state)]
    plans = flushed(received(events), flushes)
    rows, found = modelled([logged], [start])
    assert {place: value for place, value in stored(plans).items() if place[0] == "s0"} == rows
    assert sorted(conflicts(plans)) == sorted(found)


def test_eight_processes_of_one_writer_have_no_conflicts_of_one_another_s_steps() -> None:
    logged: list[Call] = [(step, None) for step in range(0, 100, 10)]
    lists = [
        [started(f"s{rank}", f"s{rank}"), *batches(f"s{rank}", logged, range(10), StepState())] for rank in range(8)
    ]
    turns = [rank for turn in range(12) for rank in range(8) if rank != 7 or turn > 6]
    plans = flushed(received(in_turns(lists, turns)), [20, 50])
    assert conflicts(plans) == []
    assert stored(plans) == {(f"s{rank}", 10 * row): float(row) for rank in range(8) for row in range(10)}


def test_a_late_process_counts_on_until_it_requests_a_step() -> None:
    """In one batch: rows without a step must not replace those of others, and requested steps are what they say."""
    logged: list[Call] = [(None, None), (None, None), (3, None), (None, None), (None, None)]
    events = [
        LogEvent(**RUN, step=500, data={"s1": 9.0}),
        started("s1", "s1"),
        batch_of("s1", logged, 0, 5, StepState()),
    ]
    plans = flushed(received(events))
    assert stored(plans) == {("s1", 500): 0.0, ("s1", 501): 1.0, ("s1", 3): 3.0, ("s1", 4): 4.0}
    (row,) = [row for row in plans[0].tables["series"].to_pylist() if row["key"] == "s1"]
    assert (row["first_step"], row["last_step"], row["last_number"]["value"]) == (3, 501, 1.0)
    assert plans[0].tables["run_activity"].to_pylist()[0]["last_step"] == 501
    assert plans[0].states[PATH].lines["s1"] == REQUESTED


@pytest.mark.parametrize("places", [[], [1], [2], [3], [1, 2, 3]])
def test_a_line_that_began_in_the_dark_replaces_nothing(places: list[int]) -> None:
    """Two sessions that did not know that the run has ten rows: the second counted on from the first one's journal."""
    known = [LogEvent(**RUN, data={"s0": 9.0, "s1": 9.0, "s2": 9.0}) for _ in range(10)]
    first = [started("s1", "s1", resumed=True), *batches("s1", [(None, None)] * 3, [1], StepState())]
    second = [started("s2", "s1", resumed=True), *batches("s2", [(None, None), (5, None)], [1], StepState(3))]
    plans = flushed(received([*known, *first, *second]), [10 + place for place in places])
    steps = {key: [step for name, step in sorted(stored(plans)) if name == key] for key in ("s0", "s1", "s2")}
    assert steps == {"s0": list(range(10)), "s1": list(range(13)), "s2": [*range(10), 13, 14]}
    assert conflicts(plans) == [(5, 14)]
    backwards = flushed(received([*known, *second, *first]))
    assert len(stored(backwards)) == len(stored(plans)), "in the wrong order, too, nothing is replaced"


@pytest.mark.parametrize(
    ("reached", "resumed", "writer", "step", "line"),
    [
        (0, False, "", 0, FINAL),
        (10, False, "", 0, COUNTED),
        (10, False, "other", 0, FINAL),
        (10, True, "other", 0, RESUMED),
        (10, True, "", 9, RESUMED),
        (10, True, "", 10, FINAL),
    ],
)
def test_steps_are_final_if_nothing_lies_behind_the_start_of_the_line(
    reached: int, resumed: bool, writer: str, step: int, line: int
) -> None:
    known = [LogEvent(**RUN, data={"x": 1.0}) for _ in range(reached)]
    event = started("s", "s", step, resumed=resumed, writer=writer)
    (plan,) = flushed(received([*known, event]))
    assert plan.states[PATH].lines["s"] == line
    rows = {(row["scope"], row["name"]): row["number"] for row in plan.tables["run_states"].to_pylist()}
    assert rows["line", "s"] == line


def test_a_start_that_is_redriven_decides_nothing() -> None:
    items = received([*batches("s0", [(None, None)] * 3, [], StepState()), started("s0", "s0", resumed=True)])
    items[-1] = items[-1]._replace(message=items[-1].message._replace(origin="events/0/7"))
    (plan,) = flushed(items)
    assert dict(plan.states[PATH].lines.items()) == {}


def test_a_batch_that_is_redriven_has_its_steps_and_turns_no_writer_back() -> None:
    logged: list[Call] = [(None, None)] * 6
    first, lost, last = (batch_of("s0", logged, at, at + 2, StepState(4)) for at in (0, 2, 4))
    items = received([first, last, lost, LogEvent(**RUN, data={"x": 1.0})])
    items[2] = items[2]._replace(message=items[2].message._replace(origin="events/0/7"))
    plans = flushed(items, [2])
    assert stored(plans) == {**{("s0", 4 + row): float(row) for row in range(6)}, ("x", 10): 1.0}


def test_other_producers_continue_after_the_highest_step_of_a_writer() -> None:
    other = LogEvent(**RUN, data={"other": 1.0})
    conflict = LogEvent(**RUN, step=1, data={"other": 2.0})
    late = batches("s1", [(None, None)] * 3, [], StepState())
    ahead = batches("s0", [(30, None)], [], StepState())
    plans = flushed(received([*ahead, *late, conflict, other]))
    assert [step for key, step in stored(plans) if key == "other"] == [31, 32]
    assert conflicts(plans) == [(1, 31)]


@pytest.mark.parametrize("step", [-1, MAX_CURRENT_STEP + 1])
def test_a_current_step_out_of_range_is_a_dead_letter(step: int) -> None:
    batch = batch_of("s0", [(None, None)], 0, 1, StepState(), current_step=step)
    _, (letter,) = receive_all(Codec(), [Message(0, 0, PATH.kafka_key, encode(batch))])
    assert letter.reason == "bad_step"
