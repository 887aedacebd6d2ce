"""Two processes with one writer's name are reported and kept apart, and a restarted process is neither."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.shared_writers import CLOCKS_DIFFER_US, SharedWriter
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, Event, LogBatch, RunDeleted, RunStarted
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.streams import SYSTEM, stream_writer

PATH = RunPath("e", "p", "r")
AT = 1_700_000_000_000_000
SECOND = 1_000_000
LATE = CLOCKS_DIFFER_US + SECOND


def started(session: str, at: int, writer: str = "rank0", predecessor: str = "") -> RunStarted:
    return RunStarted(
        **PATH._asdict(), session=session, sequence=0, writer=writer, timestamp=AT + at, predecessor=predecessor
    )


def rows(session: str, sequence: int, *at: int, writer: str = "rank0") -> LogBatch:
    return LogBatch(
        **PATH._asdict(),
        session=session,
        sequence=sequence,
        writer=writer,
        rows=len(at),
        timestamps=(AT + np.array(at)).astype("<i8").tobytes(),
        blocks=[Block(kind=Kind.NUMBER, keys=["loss"], packed=np.zeros(len(at)).tobytes())],
    )


def planned(events: Sequence[Event], *cuts: int) -> list[FlushPlan]:
    """Return the plans of flushes that end at the cuts."""
    messages = [Message(offset, 0, PATH.kafka_key, encode(event)) for offset, event in enumerate(events)]
    received, dead = receive_all(Codec(), messages)
    assert not dead
    state, plans = RunState(), list[FlushPlan]()
    for begin, end in pairwise([0, *cuts, len(events)]):
        plans.append(plan_flush(received[begin:end], [], {PATH: state}, end))
        state = plans[-1].states[PATH].settle()
    return plans


def reported(events: Sequence[Event], *cuts: int) -> list[SharedWriter]:
    """Return what flushes that end at the cuts report."""
    return [shared for plan in planned(events, *cuts) for shared in plan.shared_writers]


def stored(events: Sequence[Event], *cuts: int) -> list[tuple[int, str, int]]:
    """Return the event, the writer and the step of each stored point, in the order of events."""
    points = [
        (row["version"] >> VERSION_ROW_BITS, row.get("writer", ""), row["step"])
        for plan in planned(events, *cuts)
        for row in (plan.tables["points_number"].to_pylist() if "points_number" in plan.tables else [])
    ]
    return sorted(points)


def test_rows_that_were_logged_after_another_session_of_the_writer_began_are_reported() -> None:
    events = [started("one", 0), started("two", 5 * SECOND), rows("one", 1, SECOND), rows("two", 1, 6 * SECOND)]
    late = rows("one", 2, 5 * SECOND + LATE)
    assert reported(events) == []
    assert reported([*events, late]) == [SharedWriter(PATH, "rank0", "one", LATE, "rank0.2")]


def test_the_order_of_arrival_does_not_matter() -> None:
    late = rows("one", 1, 5 * SECOND + LATE)
    expected = [SharedWriter(PATH, "rank0", "one", LATE, "rank0.2")]
    assert reported([started("two", 5 * SECOND), started("one", 0), late]) == expected


def test_a_process_that_was_restarted_elsewhere_is_not_reported_whenever_its_rows_arrive() -> None:
    one, two = started("one", 0), started("two", 60 * SECOND)
    before, after = rows("one", 1, 59 * SECOND), rows("two", 1, 100 * SECOND, 200 * SECOND)
    assert reported([one, before, two, after]) == []
    assert reported([one, two, after, before]) == []


def test_clocks_may_differ() -> None:
    events = [started("one", 0), started("two", SECOND)]
    assert reported([*events, rows("one", 1, SECOND + CLOCKS_DIFFER_US)]) == []
    assert len(reported([*events, rows("one", 1, SECOND + CLOCKS_DIFFER_US + 1)])) == 1


def test_a_session_is_reported_once_for_each_name() -> None:
    events = [started("one", 0), started("two", 0), rows("one", 1, LATE), rows("one", 2, 2 * LATE)]
    again = [started("three", 3 * LATE), rows("one", 3, 5 * LATE), rows("two", 1, 5 * LATE)]
    assert [found.session for found in reported([*events, *again])] == ["one", "two"]


def test_the_session_that_began_first_continues_under_a_name_with_a_number() -> None:
    events = [
        started("one", 0), rows("one", 1, SECOND), started("two", 2 * SECOND), rows("two", 1, 3 * SECOND),
        rows("one", 2, 2 * SECOND + LATE), rows("two", 2, 3 * LATE), rows("one", 3, 4 * LATE),
    ]  # fmt: skip
    assert stored(events) == [(1, "rank0", 0), (3, "rank0", 1), (4, "rank0.2", 2), (5, "rank0", 2), (6, "rank0.2", 3)]


def test_each_of_several_processes_has_a_name() -> None:
    sessions = ["one", "two", "three"]
    events = [started(session, place) for place, session in enumerate(sessions)]
    logged = [rows(session, 1, LATE + SECOND) for session in sessions]
    assert [writer for _, writer, _ in stored([*events, *logged])] == ["rank0.2", "rank0.3", "rank0"]


def test_a_session_that_continues_a_numbered_one_has_its_number() -> None:
    events = [started("one", 0), started("two", 0), rows("one", 1, LATE), started("again", 2 * LATE, predecessor="one")]
    logged = [rows("again", 1, 4 * LATE), rows("two", 1, 4 * LATE)]
    assert [writer for _, writer, _ in stored([*events, *logged])] == ["rank0.2", "rank0.2", "rank0"]
    assert len(reported([*events, *logged])) == 1


def test_a_number_that_a_process_has_is_not_given_to_another() -> None:
    second = started("second", 0, "rank0.2")
    events = [started("one", 0), started("two", 0), rows("one", 1, LATE)]
    assert reported([second, *events])[0].stored_as == "rank0.3"
    # Its start arrives later: the number is the process's, and the session gets another one.
    after = [started("second", LATE, "rank0.2"), rows("one", 2, 3 * LATE)]
    assert [found.stored_as for found in reported([*events, *after])] == ["rank0.2", "rank0.3"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 3)), max_size=16),
    st.sets(st.integers(1, 8)),
)
def test_no_value_replaces_one_of_a_process_that_is_known_to_live(
    calls: list[tuple[str, bool, int]], cuts: set[int]
) -> None:
    events: list[Event] = [started(session, 0) for session in "abc"]
    at, sequences = LATE, dict.fromkeys("abc", 1)
    for session, alone, gap in calls:
        at += gap * SECOND
        batch = rows(session, sequences[session], *([at] if alone else [at, at + SECOND]))
        sequences[session] += batch.rows
        events.append(batch)
    points = stored(events, *sorted(cut for cut in cuts if cut < len(events)))
    assert len({(writer, step) for _, writer, step in points}) == len(points) == sum(sequences.values()) - 3


@pytest.mark.parametrize("writer", ["", stream_writer("rank0", SYSTEM)])
def test_unnamed_writers_and_side_streams_are_shared_on_purpose(writer: str) -> None:
    events = [started("one", 0, writer), started("two", 0, writer), rows("one", 1, LATE, writer=writer)]
    assert reported(events) == []


def test_other_writers_are_other_names() -> None:
    events = [started("one", 0, "rank0"), started("two", 0, "rank1"), rows("one", 1, LATE)]
    assert reported(events) == []


def test_a_deleted_run_has_no_names() -> None:
    deleted = RunDeleted(**PATH._asdict(), timestamp=AT + LATE)
    again = [started("three", 2 * LATE), rows("three", 1, 5 * LATE)]
    events = [started("one", 0), started("two", 0), deleted, *again, rows("one", 1, 5 * LATE)]
    assert reported(events) == []


@given(st.permutations(range(5)), st.sets(st.integers(1, 4)))
def test_the_division_into_flushes_does_not_matter(order: list[int], cuts: set[int]) -> None:
    events = [
        started("one", 0), started("two", SECOND), rows("one", 1, LATE, 3 * LATE), rows("two", 1, 2 * LATE),
        rows("one", 3, 4 * LATE),
    ]  # fmt: skip
    chosen = [events[place] for place in order]
    assert reported(chosen, *sorted(cuts)) == reported(chosen)
