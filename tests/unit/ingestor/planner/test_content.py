"""The content of sessions: what the plan stores has the content of what was logged, and a change makes a difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.delivery.batching import EncodedEvent, encode_events, split_into_events
from stepwell.journal.format import JournalInfo
from stepwell.journal.journal import MemoryJournal
from stepwell.journal.reader import Reader
from stepwell.recording.row_writer import RowWriter
from stepwell_ingestor.messages import Received
from stepwell_ingestor.planner import log_batches
from stepwell_ingestor.planner.accumulator import LeftOut
from stepwell_ingestor.planner.content import NO_CONTENT, ContentDifference, SessionContent, content_as_of
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.session_steps import resolve_batch
from stepwell_ingestor.positions.models import AsOf
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import Event, LogBatch, RunStarted
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.content import MASK
from stepwell_schemas.rules.steps import StepState
from support.factories.plans import PATH, received

Call = tuple[dict[str, Any], int | None, bool | None]

cell_values = (
    st.floats()
    | st.integers(-(2**70), 2**70)
    | st.booleans()
    | st.text(max_size=4)
    | st.none()
    | st.lists(st.integers() | st.floats() | st.text(max_size=3), max_size=3)
    | st.builds(np.float32, st.floats(width=32))
)
calls = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["a", "b", "A", "ß", "SS", "c"]), cell_values, max_size=4),
        st.none() | st.integers(-2, 12),
        st.sampled_from([None, True, False]),
    ),
    max_size=24,
)


def info(lineage: str = "s", first_step: int = 0) -> JournalInfo:
    """Return the identity of a session's journal."""
    return JournalInfo(*PATH, session="s", writer="", lineage=lineage, first_step=first_step)


def journal_of(logged: Sequence[Call], first_step: int = 0) -> MemoryJournal:
    """Return a journal into which calls were logged."""
    journal = MemoryJournal(Path("/nonexistent/content"), info(first_step=first_step), 64 * MIB, "drop")
    rows = RowWriter(journal, first_step, "r")
    for data, step, commit in logged:
        rows.log(data, step, commit)
    return journal


def sent(journal: MemoryJournal, most: int = 1_000, *, stated: bool = True) -> list[EncodedEvent]:
    """Return the events of a journal, in batches of at most some rows; with or without the session's own steps."""
    reader = Reader(check=True, first_step=journal.info.first_step)
    contents = split_into_events(reader.read_all(journal), max_rows=most)
    return list(encode_events(contents, journal.info, 0, StepState(journal.info.first_step) if stated else None))


def events_of(encoded: Sequence[EncodedEvent]) -> list[Event]:
    """Return decoded events."""
    return [decode(event.payload) for event in encoded]


def planned(items: Sequence[Received], cuts: Sequence[int] = (), state: RunState | None = None) -> list[FlushPlan]:
    """Plan items in flushes cut at some places, each from the state that the one before left."""
    ends = sorted({min(cut, len(items)) for cut in cuts} | {0, len(items)})
    states, plans = {PATH: state or RunState()}, []
    for start, end in pairwise(ends):
        plans.append(plan_flush(items[start:end], [], states, end))
        states = plans[-1].states
    return plans


def content_after(plans: Sequence[FlushPlan]) -> SessionContent:
    """Return the content of the session after flushes that report no difference."""
    assert [difference for plan in plans for difference in plan.differing] == []
    return plans[-1].states[PATH].contents.get("s", NO_CONTENT) if plans else NO_CONTENT


def total(encoded: Sequence[EncodedEvent]) -> int:
    """Return the content of all rows, as the sender adds it up."""
    return sum(event.content for event in encoded) & MASK


@given(calls, st.integers(0, 5), st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(0, 60), max_size=4))
def test_what_is_planned_has_the_content_of_what_was_logged(
    logged: list[Call], first_step: int, most: int, again: int, cuts: list[int]
) -> None:
    journal = journal_of(logged, first_step)
    first, second = sent(journal, most), sent(journal, again)
    assert total(first) == total(second)
    # Everything is sent twice, in other batches the second time, as after a crash; then the other way around.
    for events in (first + second, second + first):
        content = content_after(planned(received(events_of(events)), cuts))
        assert content == (total(first), len(logged), 0, 0)


@given(calls, st.integers(1, 9), st.integers(0, 24), st.integers(0, 24))
def test_a_sender_that_begins_again_in_the_middle_changes_nothing(
    logged: list[Call], most: int, reached: int, back: int
) -> None:
    journal = journal_of(logged)
    whole = sent(journal)
    start = max(0, reached - back)
    before = [event for event in events_of(sent(journal, most)) if event.sequence < reached]
    after = [event for event in events_of(sent(journal, most + 1)) if event.sequence + event.records > start]
    content = content_after(planned(received([*before, *after])))
    assert content == (total(whole), len(logged), 0, 0)


def session_rows(plans: Sequence[FlushPlan]) -> list[dict[str, Any]]:
    """Return the rows of the session's activity."""
    tables = [plan.tables["session_activity"] for plan in plans if "session_activity" in plan.tables]
    return [row for table in tables for row in table.to_pylist()]


@given(calls, st.integers(1, 9))
def test_rows_without_steps_of_their_session_have_a_content_too(logged: list[Call], most: int) -> None:
    events = sent(journal_of(logged), most, stated=False)
    state = RunState(writers={"": 7}, counters={"next_step": 7})
    content = content_after(planned(received(events_of(events)), (), state))
    assert content == (total(events), len(logged), 0, 0)


def test_rows_that_the_ingestor_counts_are_moved_and_not_different() -> None:
    journal = journal_of([({"a": 1.0}, None, None)] * 5 + [({"a": 2.0}, 3, None)])
    start = RunStarted(**PATH._asdict(), session="s", resumed=True, lineage="s", lineage_step=0)
    state = RunState(writers={"": 3}, counters={"next_step": 3})
    encoded = sent(journal, 2)
    plans = planned(received([start, *events_of(encoded)]), (2,), state)
    steps = [step for plan in plans for step in plan.tables["points_number"]["step"].to_pylist()]
    assert steps == [3, 4, 5, 6, 7, 8]
    assert content_after(plans) == (total(encoded), 6, 0, 6)


def test_the_content_is_stored_as_of_the_flush_s_end_and_of_its_start() -> None:
    encoded = sent(journal_of([({"a": float(row)}, None, None) for row in range(9)]), 3)
    plans = planned(received(events_of(encoded)), (1, 2))
    contents = [plan.states[PATH].contents["s"] for plan in plans]
    for plan, before, after in zip(plans, [NO_CONTENT, *contents], contents, strict=False):
        (row,) = session_rows([plan])
        assert content_as_of(row["content"], AsOf(plan.end).includes) == after
        assert content_as_of(row["content"], AsOf(plan.end - 1).includes) == before


def alter(event: Event, change: str) -> Event:
    """Return a batch of numbers as it would arrive after a change in flight."""
    assert isinstance(event, LogBatch)
    (block,) = event.blocks
    values = np.frombuffer(block.packed).copy()
    match change:
        case "value":
            values[3] += 1
            block = block.model_copy(update={"packed": values.tobytes()})
        case "column":
            swapped = np.roll(values.reshape(len(block.keys), -1), 1, axis=0)
            block = block.model_copy(update={"packed": swapped.tobytes()})
        case "key":
            block = block.model_copy(update={"keys": ["other", *block.keys[1:]]})
        case "steps":
            return event.model_copy(update={"current_step": (event.current_step or 0) + 1})
        case "missing":
            return event.model_copy(update={"blocks": []})
    return event.model_copy(update={"blocks": [block]})


@pytest.mark.parametrize("change", ["value", "column", "key", "steps", "missing"])
def test_what_changes_in_flight_is_a_difference_of_its_batch_alone(change: str) -> None:
    encoded = sent(journal_of([({"a": 1.0, "b": float(row)}, None, None) for row in range(12)]), 4)
    events = events_of(encoded)
    plans = planned(received([events[0], alter(events[1], change), events[2]]), (2,))
    assert [difference for plan in plans for difference in plan.differing] == [ContentDifference(PATH, "s", 1, 4, 4)]
    content = plans[-1].states[PATH].contents["s"]
    assert content.digest != total(encoded)
    assert content[1:] == (12, 4, 0)


def shifted(right: Callable[..., Any]) -> Callable[..., Any]:
    """Return a planner of steps that is wrong by one."""

    def wrong(*arguments: Any, **more: Any) -> Any:
        resolved = right(*arguments, **more)
        return resolved._replace(steps=resolved.steps + 1)

    return wrong


def test_rows_that_are_planned_at_wrong_steps_are_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = sent(journal_of([({"a": 1.0}, None, None)] * 6), 3)
    monkeypatch.setattr(log_batches, "resolve_batch", shifted(resolve_batch))
    (plan,) = planned(received(events_of(encoded)))
    assert sum(difference.rows for difference in plan.differing) == 6
    assert plan.states[PATH].contents["s"].digest != total(encoded)


def test_a_part_that_is_missing_or_a_dead_letter_is_accounted_for_and_not_reported_twice() -> None:
    encoded = sent(journal_of([({"a": 1.0, "b": "text"}, None, None)] * 6), 3)
    items = received(events_of(encoded))
    left_out = LeftOut(values={("points_string", 0): "refused"})
    refused = plan_flush(items, [], {PATH: RunState()}, 2, left_out=left_out)
    gap = plan_flush(items[1:], [], {PATH: RunState()}, 2)
    for plan, dead, missing in ((refused, 1, 0), (gap, 0, 3)):
        (row,) = session_rows([plan])
        assert (row["totals"]["dead_letters"], row["totals"]["missing"]) == (dead, missing)
        assert row["content"]["digest"] != total(encoded)
        assert not plan.differing


def test_batches_that_state_no_content_are_not_covered() -> None:
    events = events_of(sent(journal_of([({"a": 1.0}, None, None)] * 6), 3))
    plans = planned(received([events[0], events[1].model_copy(update={"content": None})]))
    content = content_after(plans)
    assert content.covered == 3
    assert plans[-1].states[PATH].session_counts["s"].log_rows == 6
