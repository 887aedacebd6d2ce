"""Rows that arrive after later ones of their session: they are stored at their steps, and no longer missing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.flush.state_loader import load_states
from stepwell_ingestor.messages import Received
from stepwell_ingestor.planner.accumulator import ForgottenGap
from stepwell_ingestor.planner.plan import FlushPlan, is_repeated
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.session_steps import REQUESTED
from stepwell_ingestor.planner.totals import Counts
from stepwell_ingestor.positions.models import AsOf
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.models import (
    Block,
    Event,
    LogBatch,
    LogEvent,
    MediaChunk,
    MetricDefinition,
    RunFinished,
    RunStarted,
    RunUpdated,
)
from stepwell_schemas.limits import SESSION_MAX_GAPS
from stepwell_schemas.rules.content import MASK, cells_content, key_weights, row_weights, rows_content
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.steps import NO_STEP, StepState, resolve
from support.factories.plans import PATH, Rows, conflicts, flushed, received, stored

RUN = PATH._asdict()
_CALLS = 24

asked_steps = st.lists(st.none() | st.integers(-2, 40), min_size=_CALLS, max_size=_CALLS)
arrivals = st.lists(st.tuples(st.integers(0, _CALLS - 1), st.integers(1, 10)), min_size=4, max_size=12)
cuts = st.lists(st.integers(0, 12), max_size=3)


def batch_of(asked: Sequence[int | None], first: int, end: int, **fields: Any) -> LogBatch:
    """Return the calls [first, end) of a session: each logs its number, all under `a` and every second one under `b`.

    The batch states its current step and its content.
    """
    steps = np.array([NO_STEP if step is None else step for step in asked], "<i8")
    before, own = resolve(StepState(), steps[:first], None, first).state, steps[first:end]
    numbers = np.arange(first, end, dtype="<f8")
    even = np.flatnonzero(np.arange(first, end) % 2 == 0).astype("<u4")
    blocks = [
        Block(kind=Kind.NUMBER, keys=["a"], packed=numbers.tobytes()),
        Block(kind=Kind.NUMBER, keys=["b"], rows=even.tobytes(), packed=numbers[even].tobytes()),
    ]
    weights = row_weights(first, end - first, resolve(before, own, None, end - first).steps)
    content = rows_content(weights)
    for block, values, of_rows in zip(blocks, (numbers, numbers[even]), (weights, weights[even]), strict=True):
        content += cells_content(block.kind, key_weights(block.kind, block.keys), of_rows, values, {})
    stated = int(np.array(content & MASK, np.uint64).astype(np.int64))
    return LogBatch(
        **{
            **RUN, "session": "s", "sequence": first, "rows": end - first, "content": stated, "blocks": blocks,
            "timestamps": np.zeros(end - first, "<i8").tobytes(), "steps": own.tobytes(),
            "current_step": before.current, "row_begun": before.begun,
        } | fields
    )  # fmt: skip


def counts_of(plans: Sequence[FlushPlan]) -> Counts:
    """Return the counts of the session after the last flush."""
    return plans[-1].states[PATH].session_counts["s"]


class Tables(Store):
    """The table of states after some flushes, as ClickHouse merges it; all others are empty."""

    def __init__(self, plans: Sequence[FlushPlan]) -> None:
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        for plan in plans:
            for row in plan.tables["run_states"].to_pylist() if "run_states" in plan.tables else ():
                self.rows[row["scope"], row["name"]] = row

    def query(self, sql: str, parameters: Any = None) -> Any:
        rows = list(self.rows.values()) if "run_states" in sql else []
        return pa.Table.from_pylist(rows)


def test_a_log_that_was_read_from_its_middle_first_is_stored_wholly() -> None:
    asked: list[int | None] = [None] * 12
    parts = [batch_of(asked, first, end) for first, end in pairwise([0, 3, 6, 9, 12])]
    plans = flushed(received([*parts[2:], *parts, *parts]), [2, 6])
    assert counts_of(plans[:1]) == Counts(6, 9, 0, 0, 6)
    assert counts_of(plans[:2]) == Counts(12, 18, 0, 6, 0)
    assert counts_of(plans) == Counts(12, 18, 0, 18, 0), "late rows that come again are repetitions"
    assert {step: value for (key, step), value in stored(plans).items() if key == "a"} == {n: n for n in range(12)}
    assert [plan.late for plan in plans] == [0, 6, 0]


@given(asked_steps, arrivals, cuts)
def test_any_order_of_arrival_stores_exactly_the_rows_and_what_never_came_is_missing(
    asked: list[int | None], drawn: list[tuple[int, int]], flushes: list[int]
) -> None:
    once = [(first, min(first + rows, len(asked))) for first, rows in drawn]
    # All but the first arrive a second time.
    ranges = [*once, *once[1:]]
    plans = flushed(received([batch_of(asked, *part) for part in ranges]), flushes)
    steps = np.array([NO_STEP if step is None else step for step in asked], "<i8")
    resolved = resolve(StepState(), steps, None, len(asked))
    came = [row for row in range(len(asked)) if any(first <= row < end for first, end in ranges)]
    # Of several calls at a step, the one that arrived last holds.
    order = list(dict.fromkeys(row for first, end in ranges for row in range(first, end)))
    wanted: Rows = {}
    for row in order:
        for key in ("a", "b") if row % 2 == 0 else ("a",):
            wanted[key, int(resolved.steps[row])] = float(row)
    assert stored(plans) == wanted
    refused = [(asked[row], int(resolved.steps[row])) for row in came if resolved.conflicts[row]]
    assert sorted(conflicts(plans)) == sorted((step, at) for step, at in refused if step is not None)
    counts, following = counts_of(plans), max(end for _, end in ranges)
    assert (counts.log_rows, counts.missing) == (len(came), following - len(came))
    assert counts.points == len(came) + sum(row % 2 == 0 for row in came)
    assert counts.repeated == sum(end - first for first, end in ranges) - len(came)
    assert [difference for plan in plans for difference in plan.differing] == []
    content = plans[-1].states[PATH].contents["s"]
    assert (content.covered, content.differing, content.moved) == (len(came), 0, 0)
    if len(came) == following:
        stated = batch_of(asked, 0, following).content
        assert stated is not None
        assert content.digest == stated & MASK


@given(arrivals, st.lists(st.integers(0, 12), min_size=1, max_size=3))
def test_gaps_are_restored_as_of_a_flush_s_end_and_of_its_start(
    drawn: list[tuple[int, int]], flushes: list[int]
) -> None:
    items = received([batch_of([None] * 40, first, first + rows) for first, rows in drawn])
    plans = flushed(items, flushes)
    states = [RunState(), *(plan.states[PATH] for plan in plans)]
    for number, plan in enumerate(plans):
        tables = Tables(plans[: number + 1])
        for end, state in ((plan.end, states[number + 1]), (plan.end - 1, states[number])):
            loaded = load_states(tables, [PATH], AsOf(end))[PATH]
            assert dict(loaded.sessions.items()) == dict(state.sessions.items())
            assert loaded.gaps == {session: gaps for session, gaps in state.gaps.items() if gaps}


@pytest.mark.parametrize("flushes", [[], [1], [2], [1, 2]], ids=str)
def test_a_gap_that_an_event_of_another_writer_fills_is_closed_however_it_is_flushed(flushes: list[int]) -> None:
    first, late = (RunUpdated(**RUN, session="s", sequence=number) for number in (0, 1))
    row = LogEvent(**RUN, session="s", sequence=2, writer="rank1", data={"a": 1.0})
    plans = flushed(received([first, row, late]), flushes)
    assert counts_of(plans) == Counts(1, 1, 0, 0, 0)


def test_more_gaps_than_are_kept_are_reported_and_their_records_stay_missing() -> None:
    gaps = SESSION_MAX_GAPS + 1
    every_other = [batch_of([None] * 600, first, first + 1) for first in range(1, 2 * gaps + 1, 2)]
    items = received([*every_other, batch_of([None] * 600, 0, 1), batch_of([None] * 600, 2, 3)])
    plans = flushed(items, [len(every_other)])
    assert list(plans[0].forgotten) == [ForgottenGap(PATH, "s", 0, 1)]
    assert (counts_of(plans).missing, counts_of(plans).repeated) == (gaps - 1, 1)


def late_items(first: Sequence[Event], later: Sequence[Event]) -> tuple[list[Received], int]:
    """Return the events of a log, and the number of the first ones."""
    return received([*first, *later]), len(first)


def test_a_late_start_describes_the_run_and_decides_neither_steps_nor_state() -> None:
    start = RunStarted(
        **RUN, session="s", sequence=0, lineage="s", client="sdk", host="node", config='{"lr": 1, "set": 1}',
        display_name="named", tags=["t"], notes="n", group="g", git_commit="c", resumed=True, timestamp=1,
    )  # fmt: skip
    update = RunUpdated(**RUN, session="s", sequence=5, config='{"set": 2}', timestamp=5)
    finish = RunFinished(**RUN, session="s", sequence=6, state="finished", exit_code=0, timestamp=6)
    rows = [batch_of([None] * 8, first, end, timestamp=4) for first, end in ((3, 5), (1, 3), (7, 8))]
    items, cut = late_items([rows[0], update, finish], [start, *rows[1:]])
    state = flushed(items, [cut])[-1].states[PATH]
    document = state.document
    assert document is not None
    assert (document.state, document.client, document.display_name, document.host) == (
        "finished", "sdk", "named", "node",
    )  # fmt: skip
    assert (document.started_at, document.tags, document.notes, document.run_group) == (1, ("t",), "n", "g")
    assert json.loads(document.config.text()) == {"set": 2, "lr": 1}
    assert state.lines == {}
    assert sorted(step for key, step in stored(flushed(items, [cut])) if key == "a") == [1, 2, 3, 4, 7]


def test_a_late_start_of_a_run_that_is_described_adds_to_its_config_only() -> None:
    other = RunStarted(**RUN, session="other", sequence=0, client="sdk", host="node", display_name="named", timestamp=9)
    late = RunStarted(**RUN, session="s", sequence=0, client="old", host="away", display_name="x", config='{"a": 1}')
    items, cut = late_items([batch_of([None], 0, 1, sequence=1, content=None), other], [late])
    document = flushed(items, [cut])[-1].states[PATH].document
    assert document is not None
    assert (document.client, document.host, document.display_name, document.started_at) == ("sdk", "node", "named", 9)
    assert json.loads(document.config.text()) == {"a": 1}


def test_a_late_change_replaces_nothing_and_a_late_end_ends_nothing() -> None:
    def change(sequence: int, loss: int, **fields: Any) -> RunUpdated:
        config = json.dumps({"lr": loss, f"only{sequence}": loss})
        defined = [MetricDefinition(name="m", step_metric=f"s{sequence}"), MetricDefinition(name=f"m{sequence}")]
        return RunUpdated(
            **RUN, session="s", sequence=sequence, config=config, summary=config, metrics=defined, **fields
        )

    ended = RunFinished(**RUN, session="s", sequence=0, state="failed", exit_code=1)
    items, cut = late_items([change(3, 2, notes="new")], [change(1, 1, notes="old", tags=["t"]), ended])
    document = flushed(items, [cut])[-1].states[PATH].document
    assert document is not None
    expected = {"lr": 2, "only3": 2, "only1": 1}
    assert json.loads(document.config.text()) == json.loads(document.summary.text()) == expected
    definitions = {one["name"]: one["step_metric"] for one in map(json.loads, document.metric_definitions.values())}
    assert (definitions["m"], sorted(definitions)) == ("s3", ["m", "m1", "m3"])
    assert (document.notes, document.tags, document.state, document.exit_code) == ("new", ("t",), "running", None)


def started(resumed: bool) -> list[Event]:
    """Return a run with ten rows, and the start of a session that does not know of them."""
    known: list[Event] = [LogEvent(**RUN, data={"other": 1.0}) for _ in range(10)]
    return [*known, RunStarted(**RUN, session="s", sequence=0, lineage="s", resumed=resumed)]


def rows_at(asked: Sequence[int | None], first: int, end: int) -> LogBatch:
    """Return calls of a session whose record 0 is its start."""
    return batch_of(asked, first, end, sequence=first + 1, content=None)


@pytest.mark.parametrize(
    ("resumed", "asked", "steps", "refused"),
    [
        # The ingestor counts: late rows without a step come after the run's last step, requested ones are conflicts.
        (True, [None, None, None, None], [12, 13, 10, 11], []),
        (True, [3, None, None, None], [12, 13, 10, 11], [(3, 12)]),
        # It counts until a step is requested. Late rows from before that must not take the steps of other sessions.
        (False, [None, None, 50, None], [51, 52, 50, 50], []),
        (False, [None, 60, None, 70], [71, 60, 10, 70], []),
    ],
)
def test_late_rows_of_a_session_that_the_ingestor_counts_replace_nothing(
    resumed: bool, asked: list[int | None], steps: list[int], refused: list[tuple[int, int]]
) -> None:
    items, _ = late_items([*started(resumed), rows_at(asked, 2, 4)], [rows_at(asked, 0, 2)])
    plans = flushed(items)
    wanted: Rows = {}
    for row in (2, 3, 0, 1):
        wanted["a", steps[row]] = float(row)
    assert {place: value for place, value in stored(plans).items() if place[0] == "a"} == wanted
    assert conflicts(plans) == refused
    assert resumed or plans[-1].states[PATH].lines["s"] == REQUESTED


@pytest.mark.parametrize(("asked", "step"), [(4, 4), (None, 22)])
def test_a_late_row_of_a_producer_without_current_steps_has_the_step_it_requests(asked: int | None, step: int) -> None:
    later = LogEvent(**RUN, session="s", sequence=1, step=20, data={"x": 1.0}, commit=True)
    late = LogEvent(**RUN, session="s", sequence=0, step=asked, data={"x": 2.0})
    after = LogEvent(**RUN, session="s", sequence=2, data={"x": 3.0})
    plans = flushed(received([later, late, after] if asked is not None else [later, after, late]))
    assert stored(plans) == {("x", 20): 1.0, ("x", step): 2.0, ("x", 21): 3.0}
    assert conflicts(plans) == []


def test_a_late_chunk_of_a_media_file_is_no_repetition() -> None:
    chunks = [
        MediaChunk(**RUN, session="s", sequence=number, sha256="0" * 64, index=0, count=2, size=2, data=b"x")
        for number in range(3)
    ]
    items = received([chunks[1], chunks[0], chunks[1]])
    state = flushed(items[:1])[-1].states[PATH]
    assert [is_repeated(item, state) for item in items] == [True, False, True]
