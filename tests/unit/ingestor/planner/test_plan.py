"""Planning against a plain model: what is stored depends on the log, not on how it was cut into flushes or batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.flush.policy import FlushPolicy, count_next_flush
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.totals import NO_COUNTS, Counts, counts_as_of
from stepwell_ingestor.positions.models import AsOf
from stepwell_schemas.events.models import Block, LogBatch, LogEvent, RunFinished, RunStarted, RunUpdated
from stepwell_schemas.rules.keys import fold_key
from stepwell_schemas.rules.kinds import Kind, exact_text
from stepwell_schemas.rules.steps import NO_STEP, StepState, advance
from support.factories.numbers import with_values
from support.factories.plans import PATH, Rows, conflicts, flushed, received, stored


class Call(NamedTuple):
    """One `log()` call of one number."""

    key: str
    value: float
    step: int | None


calls = st.lists(
    st.builds(
        Call,
        st.sampled_from(["a", "b", "A", "ß", "SS"]),
        st.floats(allow_nan=False),
        st.none() | st.integers(-2, 12),
    ),
    max_size=30,
)
cuts = st.lists(st.integers(0, 30), max_size=4)


def as_log_batch(logged: Sequence[Call], sequence: int) -> LogBatch:
    """Return calls as one batch, a block for each row."""
    return LogBatch(
        **PATH._asdict(),
        session="s",
        sequence=sequence,
        rows=len(logged),
        timestamps=np.zeros(len(logged), "<i8").tobytes(),
        steps=np.array([NO_STEP if call.step is None else call.step for call in logged], "<i8").tobytes(),
        blocks=[
            Block(
                kind=Kind.NUMBER,
                keys=[call.key],
                rows=np.array([row], "<u4").tobytes(),
                packed=np.array([call.value]).tobytes(),
            )
            for row, call in enumerate(logged)
        ],
    )


def pieces(logged: Sequence[Call], places: Sequence[int]) -> list[LogBatch]:
    """Return calls as batches cut at some places."""
    ends = sorted({min(place, len(logged)) for place in places} | {0, len(logged)})
    return [as_log_batch(logged[start:end], start) for start, end in pairwise(ends)]


def modelled(logged: Sequence[Call]) -> tuple[Rows, list[tuple[int, int]]]:
    """Return what the rules' words say of calls."""
    rows: Rows = {}
    found: list[tuple[int, int]] = []
    spellings: dict[str, str] = {}
    state = StepState()
    for call in logged:
        decision = advance(state, call.step, None)
        state = decision.state
        if decision.conflict and call.step is not None:
            found.append((call.step, decision.step))
        rows[spellings.setdefault(fold_key(call.key), call.key), decision.step] = call.value
    return rows, found


@given(calls, cuts, cuts)
def test_what_is_stored_is_what_was_logged_however_it_is_cut(
    logged: list[Call], batches: list[int], flushes: list[int]
) -> None:
    plans = flushed(received(pieces(logged, batches)), flushes)
    assert (stored(plans), conflicts(plans)) == modelled(logged)


@given(calls, cuts, cuts, cuts)
def test_what_is_sent_again_counts_once_however_it_is_cut_again(
    logged: list[Call], batches: list[int], again: list[int], flushes: list[int]
) -> None:
    plans = flushed(received(pieces(logged, batches) + pieces(logged, again)), flushes)
    assert (stored(plans), conflicts(plans)) == modelled(logged)
    assert sum(plan.repeated for plan in plans) == len(logged)


@given(calls, cuts)
def test_a_plan_repeated_from_the_same_state_is_the_same(logged: list[Call], batches: list[int]) -> None:
    items = received(pieces(logged, batches))
    before = {PATH: RunState()}
    first, second = (plan_flush(items, [], before, len(items)) for _ in range(2))
    assert before == {PATH: RunState()}, "planning changes no state in place"
    # As text: the sum of both infinities is NaN, which equals nothing.
    texts = [{name: repr(rows.to_pylist()) for name, rows in plan.tables.items()} for plan in (first, second)]
    assert texts[0] == texts[1]


@given(calls, cuts)
def test_extremes_merge_and_the_totals_of_the_last_flush_hold(logged: list[Call], flushes: list[int]) -> None:
    plans = flushed(received(pieces(logged, range(30))), flushes)
    rows = [row for plan in plans if "series" in plan.tables for row in plan.tables["series"].to_pylist()]
    shown, _ = modelled(logged)
    for key in {key for key, _ in shown}:
        parts = [row for row in rows if row["key"] == key]
        steps = [step for shown_key, step in shown if shown_key == key]
        assert min(part["first_step"] for part in parts) == min(steps)
        assert max(part["last_step"] for part in parts) == max(steps)
        points = max(parts, key=lambda part: part["totals"]["end"])["totals"]["points"]
        assert points == len(steps) or any(part["rewritten"] for part in parts)
        assert max(tuple(part["last_number"].values()) for part in parts)[2] == shown[key, max(steps)]


@given(calls, cuts, cuts, cuts)
def test_every_spelling_is_noted_once_and_the_first_one_has_the_lowest_version(
    logged: list[Call], batches: list[int], again: list[int], flushes: list[int]
) -> None:
    plans = flushed(received(pieces(logged, batches) + pieces(logged, again)), flushes)
    tables = [plan.tables["key_spellings"] for plan in plans if "key_spellings" in plan.tables]
    noted = [(row["first_version"], row["folded"], row["spelling"]) for table in tables for row in table.to_pylist()]
    in_order = list(dict.fromkeys(call.key for call in logged))
    assert [spelling for _, _, spelling in sorted(noted)] == in_order
    assert len({version for version, *_ in noted}) == len(in_order)
    assert {folded for _, folded, _ in noted} == {fold_key(key) for key in in_order}


def test_two_spellings_in_one_block_are_one_value_the_later_one() -> None:
    block = Block(kind=Kind.NUMBER, keys=["Loss", "x", "loss"], packed=np.arange(6.0).tobytes())
    batch = LogBatch(**PATH._asdict(), rows=2, timestamps=bytes(16), blocks=[block])
    (plan,) = flushed(received([batch]), [])
    assert (plan.points, plan.states[PATH].counts.points) == (4, 6)
    rows = [(row["key"], row["step"], row["value"]) for row in with_values(plan.tables["points_number"]).to_pylist()]
    assert rows == [("Loss", 0, 4.0), ("Loss", 1, 5.0), ("x", 0, 2.0), ("x", 1, 3.0)]


@given(calls, cuts, cuts, cuts)
def test_the_account_of_a_session_is_that_of_its_last_flush(
    logged: list[Call], batches: list[int], again: list[int], flushes: list[int]
) -> None:
    plans = flushed(received(pieces(logged, batches) + pieces(logged, again)), flushes)
    rows = [row for plan in plans if "session_activity" in plan.tables for row in session_rows(plan)]
    last = max((row["totals"] for row in rows), key=lambda totals: int(totals["end"]), default=None)
    assert (counts_as_of(last, AsOf(last["end"]).includes) if last else NO_COUNTS) == Counts(
        log_rows=len(logged),
        points=len(logged),
        conflicts=len(modelled(logged)[1]),
        repeated=len(logged),
        missing=0,
    )
    assert max((row["next_sequence"] for row in rows), default=0) == len(logged)


def session_rows(plan: FlushPlan) -> list[dict[str, Any]]:
    """Return a flush's rows about sessions."""
    rows: list[dict[str, Any]] = plan.tables["session_activity"].to_pylist()
    return rows


@given(cuts)
def test_a_resumed_run_writes_into_no_row_of_its_earlier_sessions(flushes: list[int]) -> None:
    """Not even by a first call whose step is too low, after a session that ended standing on an asked step."""
    items = received(
        [
            LogEvent(**PATH._asdict(), step=73, data={"x": 1.0}),
            LogEvent(**PATH._asdict(), writer="//system", step=900, data={"system/cpu": 1.0}),
            RunStarted(**PATH._asdict(), resumed=True),
            LogEvent(**PATH._asdict(), step=69, data={"x": 2.0}),
        ]
    )
    plans = flushed(items, flushes)
    assert [(key, step) for key, step in stored(plans) if key == "x"] == [("x", 73), ("x", 74)]
    assert [(asked, step) for *_, asked, step in conflicts(plans)] == [(69, 74)]


def test_a_dead_letter_sent_again_counts_once_and_keeps_its_step() -> None:
    reached = LogEvent(**PATH._asdict(), step=9, data={"x": 9.0})
    lost = LogEvent(**PATH._asdict(), session="s", sequence=0, step=4, data={"x": 4.0})
    following = LogEvent(**PATH._asdict(), session="s", sequence=1, step=10, data={"x": 10.0})
    items = received([reached, following, lost, lost, LogEvent(**PATH._asdict(), data={"x": 0.5})])
    for place in (2, 3):
        items[place] = items[place]._replace(message=items[place].message._replace(origin="events/0/7"))
    plans = flushed(items, [1, 3])
    assert stored(plans) == {("x", 4): 4.0, ("x", 9): 9.0, ("x", 10): 0.5}
    assert (conflicts(plans), sum(plan.repeated for plan in plans)) == ([], 1)


def test_a_batch_sent_again_whose_first_row_asks_for_no_step_overwrites_nothing() -> None:
    logged = [LogEvent(**PATH._asdict(), data={"a": float(step)}) for step in range(3)]
    lost = as_log_batch([Call("a", 8.0, None), Call("a", 9.0, 20)], 0)
    items = received([*logged, lost])
    items[3] = items[3]._replace(message=items[3].message._replace(origin="events/0/7"))
    assert stored(flushed(items, [])) == {("a", 0): 0.0, ("a", 1): 1.0, ("a", 2): 2.0, ("a", 3): 8.0, ("a", 20): 9.0}


def test_a_dead_letter_sent_again_in_vain_is_taken_when_it_can_be() -> None:
    lost = LogEvent(**PATH._asdict(), data={"": 1.0})
    usable = LogEvent(**PATH._asdict(), data={"x": 1.0})
    items = [
        item._replace(message=item.message._replace(origin="events/0/7"))
        for item in received([lost, lost, usable, usable])
    ]
    plans = flushed(items, [1])
    assert [letter.message.offset for plan in plans for letter in plan.dead] == [0, 1]
    assert ([key for key, _ in stored(plans)], sum(plan.repeated for plan in plans)) == (["x"], 1)


def test_a_dead_letter_says_whether_part_of_it_is_stored() -> None:
    events = [
        LogEvent(**PATH._asdict(), data={"good": 1.0, "": 2.0}),
        LogEvent(**PATH._asdict(), session="s", sequence=0, data={"": 2.0}),
    ]
    (plan,) = flushed(received(events), [])
    assert [(letter.reason, letter.partly) for letter in plan.dead] == [("bad_key", True), ("bad_key", False)]
    counts = [(row["session"], row["totals"]["dead_letters"], row["totals"]["points"]) for row in session_rows(plan)]
    assert counts == [("s", 1, 0)]


def test_a_run_is_known_by_its_events() -> None:
    events = [
        LogEvent(**PATH._asdict(), data={"x": 1.0}, timestamp=5_000),
        RunStarted(**PATH._asdict(), timestamp=6_000, config='{"lr": 1, "keep": 2}', tags=["t"]),
        RunUpdated(**PATH._asdict(), config='{"lr": 3}', summary='{"best": 0.5}', notes="n"),
        RunFinished(**PATH._asdict(), timestamp=9_000, exit_code=1, state="failed"),
    ]
    (plan,) = flushed(received(events), [])
    document = plan.states[PATH].document
    assert document is not None
    assert document.config.text() == '{"lr": 3, "keep": 2}'
    assert (document.created_at, document.started_at, document.finished_at) == (5_000, 6_000, 9_000)
    assert (document.state, document.exit_code, document.tags, document.notes) == ("failed", 1, ("t",), "n")
    assert document.summary.text() == '{"best": 0.5}'


def test_a_late_start_of_a_rank_does_not_start_a_finished_run_again() -> None:
    started = RunStarted(**PATH._asdict(), client="sdk", writer="rank0", tags=["t"], config='{"lr": 1}')
    finished = RunFinished(**PATH._asdict(), exit_code=0, state="finished")
    late = RunStarted(**PATH._asdict(), writer="rank1", timestamp=9_000, config='{"own": 1}')
    for events, state in (([started, finished, late], "finished"), ([late, started], "running"), ([late], "running")):
        (plan,) = flushed(received(events), [])
        document = plan.states[PATH].document
        assert document is not None
        assert (document.state, '"own": 1' in document.config.text()) == (state, True)


def test_a_commit_and_whether_it_is_dirty_change_together() -> None:
    starts: list[tuple[dict[str, Any], tuple[str, str, bool | None]]] = [
        ({"program": "a.py"}, ("a.py", "", None)),
        ({"program": "b.py", "git_commit": "1" * 40, "git_dirty": True}, ("b.py", "1" * 40, True)),
        ({}, ("b.py", "1" * 40, True)),
        ({"git_commit": "2" * 40}, ("b.py", "2" * 40, None)),
        ({"git_commit": "2" * 40, "git_dirty": False}, ("b.py", "2" * 40, False)),
    ]
    for count in range(1, len(starts) + 1):
        events = [RunStarted(**PATH._asdict(), **fields) for fields, _ in starts[:count]]
        (plan,) = flushed(received(events), [])
        (row,) = plan.tables["run_documents"].to_pylist()
        assert (row["program"], row["git_commit"], row["git_dirty"]) == starts[count - 1][1]


def test_an_event_with_broken_json_is_a_dead_letter_and_changes_nothing() -> None:
    (plan,) = flushed(received([RunStarted(**PATH._asdict(), config="[1]")]), [])
    assert [letter.reason for letter in plan.dead] == ["bad_value"]
    assert plan.states[PATH].document is not None


@given(st.lists(st.sampled_from([1, 2**53 + 1, -(2**62) - 1]), min_size=1, max_size=6), cuts)
def test_a_series_keeps_the_digits_of_its_last_integer(logged: list[int], flushes: list[int]) -> None:
    plans = flushed(received([LogEvent(**PATH._asdict(), data={"n": value}) for value in logged]), flushes)
    rows = [row for plan in plans for row in plan.tables["series"].to_pylist()]
    assert max(tuple(row["last_text"].values()) for row in rows)[2] == exact_text(logged[-1])


def test_a_stream_beside_the_run_s_rows_counts_its_own_steps_and_not_among_them() -> None:
    def logged(writer: str, key: str, rows: int) -> LogBatch:
        batch = as_log_batch([Call(key, float(row), None) for row in range(rows)], 0)
        return batch.model_copy(update={"writer": writer, "session": writer or "s"})

    events = [logged("", "loss", 3), logged("//system", "system/cpu", 50), logged("", "system/cpu", 0)]
    mixed = [*events, LogEvent(**PATH._asdict(), writer="w", data={"system/cpu": 7.0})]
    (plan,) = flushed(received(events), [])
    assert [step for key, step in stored([plan]) if key == "system/cpu"] == list(range(50))
    (activity,) = plan.tables["run_activity"].to_pylist()
    totals = activity["totals"]
    assert (activity["last_step"], totals["log_rows"], totals["points"]) == (2, 3, 3)
    sessions = {row["session"]: row["totals"] for row in session_rows(plan)}
    assert {name: (counts["log_rows"], counts["points"]) for name, counts in sessions.items()} == {
        "s": (3, 3),
        "//system": (50, 50),
    }
    assert streams([plan]) == {"loss": "", "system/cpu": "system"}
    for places in ([], [2], [3]):
        assert streams(flushed(received(mixed), places))["system/cpu"] == ""


def streams(plans: Sequence[FlushPlan]) -> dict[str, str]:
    """Return each key's stream, as the table of series adds it up."""
    found: dict[str, str] = {}
    for plan in plans:
        for row in plan.tables["series"].to_pylist() if "series" in plan.tables else []:
            found[row["key"]] = min(found.get(row["key"], row["stream"]), row["stream"])
    return found


def test_a_sign_of_life_is_all_that_a_stream_says_of_a_run() -> None:
    beside = as_log_batch([Call("system/cpu", 1.0, None)], 0)
    late = np.array([9_000_000], "<i8").tobytes()
    beside = beside.model_copy(update={"writer": "//system", "timestamps": late, "timestamp": 9_000_000})
    (plan,) = flushed(received([beside]), [])
    (activity,) = plan.tables["run_activity"].to_pylist()
    assert activity["totals"]["log_rows"] == 0
    assert activity["last_step"] < -(2**62)
    assert activity["last_timestamp"].timestamp() == 9


def test_every_kind_goes_to_its_table() -> None:
    data: dict[str, Any] = {"n": 1, "s": "x", "b": False, "o": None, "m": {"kind": "image", "json": "{}"}}
    (plan,) = flushed(received([LogEvent(**PATH._asdict(), data=data)]), [])
    kinds = {name: table.column("key").to_pylist() for name, table in plan.tables.items() if "points" in name}
    assert kinds == {
        "points_number": ["n"],
        "points_string": ["s"],
        "points_bool": ["b"],
        "points_other": ["o"],
        "points_media": ["m"],
    }


def test_a_buffer_is_due_by_size_or_age() -> None:
    policy = FlushPolicy(max_bytes=100, max_seconds=0.5)
    assert not policy.is_due(1_000, None, 9.0)
    assert policy.is_due(100, 9.0, 9.0)
    assert not policy.is_due(99, 9.0, 9.4)
    assert policy.is_due(1, 9.0, 9.5)


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(0, 100))
def test_a_flush_holds_at_least_one_event_and_no_more_bytes_than_allowed(sizes: list[int], most: int) -> None:
    count = count_next_flush(sizes, most)
    assert 1 <= count <= len(sizes)
    assert count == 1 or sum(sizes[:count]) <= most
