"""Totals of a flush: the same however the log is cut into flushes, undone by the row itself, and idempotent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.messages import Message, Received, receive_all
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.totals import (
    NO_COUNTS,
    Counts,
    SeriesTotals,
    add_counts,
    counts_as_of,
    series_as_of,
)
from stepwell_ingestor.positions.models import AsOf
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.limits import COUNT_MAX
from stepwell_schemas.rules.identifiers import RunPath

PATH = RunPath("e", "p", "r")
# Sums of these depend on the order of addition; some overflow, and infinities of both signs give NaN.
values = st.one_of(st.floats(), st.sampled_from([0.1, 1e16, -1e16, 1.7e308, -1.7e308, math.inf, -math.inf, -0.0]))
calls = st.lists(st.tuples(st.sampled_from("ab"), values, st.none() | st.integers(0, 6)), max_size=12)
cuts = st.lists(st.integers(0, 12), max_size=5)


def received(logged: Sequence[tuple[str, float, int | None]]) -> list[Received]:
    """Return an event for each call; every third is sent twice."""
    events = [
        LogEvent(**PATH._asdict(), session="s", sequence=number, step=step, data={key: value})
        for number, (key, value, step) in enumerate(logged)
        for _ in range(1 + (number % 3 == 0))
    ]
    good, dead = receive_all(Codec(), [Message(at, 0, PATH.kafka_key, encode(one)) for at, one in enumerate(events)])
    assert not dead
    return good


def flushed(items: Sequence[Received], places: Iterable[int]) -> list[tuple[RunState, FlushPlan, RunState]]:
    """Plan items in flushes; return each plan with the state before and after it."""
    ends = sorted({min(place, len(items)) for place in places} | {0, len(items)})
    state, found = RunState(), []
    for start, end in pairwise(ends):
        plan = plan_flush(items[start:end], [], {PATH: state}, end)
        found.append((state, plan, plan.states[PATH]))
        state = plan.states[PATH]
    return found


def known(state: RunState) -> str:
    """Return the totals of a state as text, since NaN is not equal to itself."""
    return repr((sorted(state.series.items()), state.counts, sorted(state.session_counts.items())))


def rows(plan: FlushPlan, table: str) -> list[dict[str, Any]]:
    """Return a table's rows of a plan."""
    found: list[dict[str, Any]] = plan.tables[table].to_pylist() if table in plan.tables else []
    return found


@given(calls, cuts)
def test_the_totals_do_not_depend_on_the_division_into_flushes(logged: Any, places: list[int]) -> None:
    items = received(logged)
    whole, parts = flushed(items, []), flushed(items, places)
    assert [known(after) for *_, after in whole[-1:]] == [known(after) for *_, after in parts[-1:]]


@given(calls, cuts)
def test_each_row_undoes_its_flush(logged: Any, places: list[int]) -> None:
    for before, plan, after in flushed(received(logged), places):
        start = plan.end - 1
        for row in rows(plan, "series"):
            series = (row["key"], row["kind"], row["writer"])
            assert repr(series_as_of(row["totals"], AsOf(plan.end).includes)) == repr(after.series[series])
            assert repr(series_as_of(row["totals"], AsOf(start).includes)) == repr(before.series.get(series))
        for row in rows(plan, "run_activity"):
            assert counts_as_of(row["totals"], AsOf(plan.end).includes) == after.counts
            assert counts_as_of(row["totals"], AsOf(start).includes) == before.counts
        for row in rows(plan, "session_activity"):
            assert counts_as_of(row["totals"], AsOf(plan.end).includes) == after.session_counts[row["session"]]
            assert counts_as_of(row["totals"], AsOf(start).includes) == before.session_counts.get(
                row["session"], NO_COUNTS
            )


@given(calls, cuts, st.randoms(use_true_random=False))
def test_rows_that_are_repeated_and_late_change_nothing(logged: Any, places: list[int], random: Any) -> None:
    found = flushed(received(logged), places)
    if not found:
        return
    last = found[-1][2]
    for table, wanted in (("run_activity", last.counts), ("session_activity", last.session_counts.get("s"))):
        stored = [row["totals"] for _, plan, _ in found for row in rows(plan, table)] * 2
        random.shuffle(stored)
        # As ClickHouse merges the column.
        newest = max(stored, key=lambda totals: tuple(totals.values()))
        assert counts_as_of(newest, AsOf(newest["end"]).includes) == wanted


def test_a_session_whose_events_name_a_writer_or_none_has_one_account() -> None:
    events = [
        LogEvent(**PATH._asdict(), session="s", sequence=number, writer=writer, data={"x": 1.0})
        for number, writer in enumerate(["w", "", "w"])
    ]
    good, _ = receive_all(Codec(), [Message(at, 0, PATH.kafka_key, encode(one)) for at, one in enumerate(events)])
    plan = plan_flush(good, [], {PATH: RunState()}, 3)
    assert {row["session"] for row in rows(plan, "session_activity")} == {"s"}
    assert {row["totals"]["points"] for row in rows(plan, "session_activity")} == {3}


def test_counts_are_clipped_once_for_each_sum_that_is_too_large() -> None:
    most, clipped = add_counts(Counts(COUNT_MAX, 1, 0, 0, COUNT_MAX - 1), Counts(1, 1, 0, 0, 1, 7))
    assert (most, clipped) == (Counts(COUNT_MAX, 2, 0, 0, COUNT_MAX, 7), 1)


def test_a_series_without_points_before_the_flush_is_unknown_as_of_its_start() -> None:
    (_, plan, after), *_ = flushed(received([("a", 1.5, 3)]), [])
    assert after.series["a", "number", ""] == SeriesTotals(3, 1, 1, 1.5)
    (row,) = rows(plan, "series")
    assert series_as_of(row["totals"], AsOf(0).includes) is None
