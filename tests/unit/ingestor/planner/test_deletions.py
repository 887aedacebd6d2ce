"""Deleted runs: what a flush plans of them, and the records that arrive later, however the log is cut into flushes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.planner.plan import FlushPlan, is_repeated
from stepwell_ingestor.planner.run_state import DELETED_AT, DELETED_OFFSET, NOTE_SCOPES, RunState
from stepwell_ingestor.planner.state_rows import ABSENT
from stepwell_schemas.events.models import (
    NO_TIMESTAMP,
    Event,
    LogBatch,
    LogEvent,
    MediaChunk,
    RunDeleted,
    RunStarted,
    RunUpdated,
)
from support.factories.numbers import with_values
from support.factories.plans import PATH, flushed, received

RUN = PATH._asdict()
AT = 1_000_000
"""The time of the first deletion."""


def logged(session: str, sequence: int, value: float, **fields: Any) -> LogEvent:
    return LogEvent(**RUN, session=session, sequence=sequence, data={"loss": value}, **fields)


def deleted(at: int = AT) -> RunDeleted:
    return RunDeleted(**RUN, timestamp=at)


def shown(plans: Sequence[FlushPlan]) -> dict[int, float]:
    """Return the values by step that are in the table after some flushes, each of which deletes first."""
    rows: list[dict[str, Any]] = []
    for plan in plans:
        for deletion in plan.deletions.values():
            rows = [row for row in rows if row["version"] >> 20 >= deletion.offset]
        table = plan.tables.get("points_number")
        rows += with_values(table).to_pylist() if table is not None else []
    return {row["step"]: row["value"] for row in sorted(rows, key=lambda row: row["version"])}


def numbers(plans: Sequence[FlushPlan]) -> dict[tuple[str, str], int]:
    """Return the table of states after some flushes, without what is gone."""
    table: dict[tuple[str, str], int] = {}
    for plan in plans:
        rows = plan.tables["run_states"].to_pylist() if "run_states" in plan.tables else []
        table |= {(row["scope"], row["name"]): row["number"] for row in rows}
    return {name: number for name, number in table.items() if number != ABSENT}


def final(plans: Sequence[FlushPlan]) -> RunState:
    return plans[-1].states[PATH].settle()


@pytest.mark.parametrize("cut", range(5))
def test_numbers_that_both_runs_have_are_written_after_the_deletion(cut: int) -> None:
    """The loader of states ignores rows from before it."""
    events: list[Event] = [
        RunStarted(**RUN, session="old", sequence=0, timestamp=1),
        logged("old", 1, 1.0),
        deleted(),
        RunStarted(**RUN, session="new", sequence=0, timestamp=AT + 1),
        logged("new", 1, 9.0),
    ]
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for plan in flushed(received(events), [cut]):
        rows = plan.tables["run_states"].to_pylist() if "run_states" in plan.tables else []
        newest |= {(row["scope"], row["name"]): row for row in rows}
    held = [row for row in newest.values() if row["number"] != ABSENT and row["scope"] not in NOTE_SCOPES]
    assert ("run", "next_step") in newest
    assert all(row["offset"] > 3 for row in held)


@pytest.mark.parametrize("cut", range(7))
def test_a_run_of_the_same_name_has_only_its_own_rows(cut: int) -> None:
    events: list[Event] = [
        RunStarted(**RUN, session="old", sequence=0, display_name="first", timestamp=1),
        logged("old", 1, 1.0),
        logged("old", 2, 2.0),
        deleted(),
        logged("old", 3, 3.0),
        RunStarted(**RUN, session="new", sequence=0, config='{"lr": 1}', timestamp=AT + 1),
        logged("new", 1, 9.0),
    ]
    plans = flushed(received(events), [cut])
    assert shown(plans) == {0: 9.0}
    state = final(plans)
    assert state.document is not None
    assert (state.document.display_name, state.document.config.text()) == (PATH.run_id, '{"lr": 1}')
    assert dict(state.deleted.items()) == {"old": AT}
    assert dict(state.deletion.items()) == {DELETED_AT: AT, DELETED_OFFSET: 3}
    assert state.sessions == {"new": 2}
    assert state.counts.points == 1
    assert sum(plan.dropped for plan in plans) == 1
    assert not any(plan.dead for plan in plans)
    assert numbers(plans) == {
        ("deletion", "at"): AT, ("deletion", "offset"): 3, ("deleted", "old"): AT, ("session", "new"): 2,
        ("run", "next_step"): 1, ("writer", ""): 1, ("run", "document_since"): 5,
    }  # fmt: skip


def test_a_session_that_began_before_the_deletion_is_dropped_also_if_nothing_of_it_had_arrived() -> None:
    late: list[Event] = [
        RunStarted(**RUN, session="offline", sequence=0, timestamp=AT - 1),
        logged("offline", 1, 1.0),
    ]
    plans = flushed(received([deleted(), *late]), [2])
    assert shown(plans) == {}
    assert final(plans).document is None
    assert sum(plan.dropped for plan in plans) == 2
    assert is_repeated(received([*late])[1], final(plans))


def test_a_start_of_a_known_session_is_not_measured_by_its_time() -> None:
    events = [deleted(), logged("new", 0, 1.0), RunStarted(**RUN, session="new", sequence=1, timestamp=AT - 1)]
    assert final(flushed(received(events))).sessions == {"new": 2}


def test_a_deletion_that_is_sent_again_deletes_nothing_more() -> None:
    events = [logged("a", 0, 1.0), deleted(), logged("b", 0, 2.0), deleted()]
    for cut in range(4):
        plans = flushed(received(events), [cut])
        assert shown(plans) == {0: 2.0}
    events = [logged("a", 0, 1.0), deleted(), logged("b", 0, 2.0), deleted(AT + 1)]
    assert shown(flushed(received(events))) == {}
    unnumbered = [deleted(NO_TIMESTAMP), logged("b", 0, 2.0), deleted(NO_TIMESTAMP)]
    assert shown(flushed(received(unnumbered))) == {}


def test_edits_and_signs_of_life_create_no_run() -> None:
    sign = LogBatch(**RUN, rows=0, timestamps=b"", blocks=[])
    edit = RunUpdated(**RUN, display_name="x", edited=True)
    for before in ([], [logged("a", 0, 1.0), deleted()]):
        plans = flushed(received([*before, sign, edit]))
        assert final(plans).document is None
        assert "run_documents" not in plans[-1].tables


def test_an_edit_is_no_sign_of_life() -> None:
    started = RunStarted(**RUN, session="a", sequence=0, timestamp=5_000_000)
    plans = flushed(received([started, RunUpdated(**RUN, timestamp=99_000_000, notes="n", edited=True)]), [1])
    rows = [plan.tables["run_activity"].to_pylist()[0] for plan in plans]
    assert [row["last_timestamp"].timestamp() for row in rows] == [5.0, 5.0]
    assert [row["last_offset"] for row in rows] == [0, 1]


def test_an_edit_changes_each_field_and_the_last_one_in_the_log_holds() -> None:
    events = [
        RunStarted(**RUN, session="a", sequence=0, tags=["x", "y"], group="g", config='{"lr": 1, "old": 2}'),
        RunUpdated(**RUN, edited=True, tags_add=["z", "x"], tags_remove=["y"], group="h", job_type="eval",
                   config='{"lr": 5}', config_remove=["old"], summary='{"best": 1}', stop_requested=True),
        RunUpdated(**RUN, session="a", sequence=1, summary='{"best": 2}'),
    ]  # fmt: skip
    document = final(flushed(received(events))).document
    assert document is not None
    assert (document.tags, document.run_group, document.job_type) == (("x", "z"), "h", "eval")
    assert (json.loads(document.config.text()), json.loads(document.summary.text())) == ({"lr": 5}, {"best": 2})
    assert document.stop_requested
    resumed = RunStarted(**RUN, session="b", sequence=0, resumed=True)
    again = final(flushed(received([*events, resumed]))).document
    assert again is not None
    assert not again.stop_requested


def test_media_that_a_flush_has_completed_for_a_deleted_run_are_named() -> None:
    chunk = MediaChunk(**RUN, sha256="0" * 64, index=1, count=2, size=7, data=b"x")
    (plan,) = flushed(received([chunk, deleted()]))
    assert plan.deletions[PATH].files == {"0" * 64: 7}
    assert "media_files" not in plan.tables


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("log"), st.sampled_from("abc"), st.integers(0, 3)),
        st.tuples(st.just("delete"), st.just(""), st.integers(0, 2)),
        st.tuples(st.just("edit"), st.just(""), st.integers(0, 9)),
    ),
    max_size=14,
)


@given(ACTIONS, st.lists(st.integers(0, 14), max_size=4))
def test_any_division_of_log_edit_and_delete_gives_the_model(
    actions: list[tuple[str, str, int]], cuts: list[int]
) -> None:
    events: list[Event] = []
    alive: dict[str, float] = {}
    dead: set[str] = set()
    config: dict[str, int] = {}
    exists, last = False, -1
    for number, (what, session, value) in enumerate(actions):
        if what == "log":
            events.append(LogEvent(**RUN, writer=session, session=session, sequence=number, data={session: value}))
            if session not in dead:
                exists, alive[session] = True, float(value)
        elif what == "edit":
            events.append(RunUpdated(**RUN, config=json.dumps({"k": value}), edited=True))
            config = {"k": value} if exists else config
        else:
            events.append(deleted(value))
            if value != last:
                dead |= alive.keys()
                alive, config, exists, last = {}, {}, False, max(last, value)
    plans = flushed(received(events), cuts)
    if not events:
        return
    state = final(plans)
    assert state.sessions.keys() == alive.keys()
    assert set(state.deleted) == dead
    assert (state.document is not None) == exists
    assert {key for key, _, _ in state.series} == alive.keys()
    if state.document is not None:
        assert json.loads(state.document.config.text()) == config
    whole = flushed(received(events))
    assert (numbers(plans), shown(plans)) == (numbers(whole), shown(whole))
    assert repr(final(plans).counts) == repr(final(whole).counts)
