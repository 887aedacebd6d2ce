"""Flushes that ClickHouse stores twice, or late, since it has forgotten their tokens: no reader sees a difference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from stepwell_ingestor.flush.state_loader import load_states
from stepwell_ingestor.messages import Message, Received, receive_all
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.positions.models import AsOf
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, Event, LogBatch, LogEvent, MetricDefinition, RunStarted, RunUpdated
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.servers.query import Service, service_over

RUN = RunPath("me", "p", "r")
ROWS = 700
READ: tuple[tuple[str, dict[str, Any]], ...] = (
    ("", {}),
    ("metrics", {}),
    ("sessions", {}),
    ("sessions/s", {}),
    *(
        ("series", {"key": "loss", "sampling": sampling, "points": points})
        for sampling in ("buckets", "lttb", "random")
        for points in (20, 3 * ROWS)
    ),
    ("series", {"key": "loss", "sampling": "raw", "points": 900, "to": 850}),
    ("series", {"key": "ok", "points": 20}),
    ("series", {"key": "ok", "points": 3 * ROWS}),
    ("history", {"samples": 50}),
)
UNMERGED = ("points_number", "points_bool", "points_string", "series", "run_activity", "session_activity")
VIEWS = ("numbers", "strings", "bools", "others", "media", "metrics", "runs", "step_conflicts")


def a_batch(sequence: int) -> LogBatch:
    values = np.random.default_rng(sequence).normal(size=ROWS)
    values[::50] = np.nan
    marks = (np.arange(ROWS) % 3 == 0).astype(np.uint8)
    blocks = [
        Block(kind=Kind.NUMBER, keys=["loss"], packed=values.tobytes()),
        Block(kind=Kind.BOOL, keys=["ok"], packed=marks.tobytes()),
    ]
    times = np.arange(sequence, sequence + ROWS) * 1_000_000 + 1_700_000_000_000_000
    return LogBatch(
        **RUN._asdict(),
        session="s",
        sequence=sequence,
        rows=ROWS,
        timestamps=times.astype("<i8").tobytes(),
        blocks=blocks,
    )


def a_log() -> list[Received]:
    """Return three batches with a document, texts, a conflict, and records that arrive twice, or late."""
    run: dict[str, Any] = {**RUN._asdict(), "session": "s"}
    events: list[Event] = [
        RunStarted(**run, sequence=0),
        RunUpdated(**run, sequence=1, metrics=[MetricDefinition(name="loss", summary="min,max,mean")]),
        a_batch(3),
        a_batch(3),
        LogEvent(**run, sequence=3 + ROWS, step=3, data={"note": "late", "other": None}),
        a_batch(4 + ROWS),
        LogEvent(**run, sequence=4 + 2 * ROWS, data={"": 1.0, "note": "partly refused"}),
        a_batch(5 + 2 * ROWS),
        LogEvent(**run, sequence=2, data={"note": "was missing"}),
    ]
    messages = [Message(offset, 0, RUN.kafka_key, encode(event)) for offset, event in enumerate(events)]
    received, dead = receive_all(Codec(), messages)
    assert not dead
    return received


def plans_of(items: list[Received], *places: int) -> list[FlushPlan]:
    states, plans = {RUN: RunState()}, []
    for start, end in pairwise([0, *places, len(items)]):
        plans.append(plan_flush(items[start:end], [], states, end))
        states = plans[-1].states
    return plans


def store_plan(store: Store, plan: FlushPlan, mark: str) -> None:
    """Store a flush as the ingestor does; another mark stands for tokens that were forgotten."""
    for table, rows in plan.tables.items():
        if table == "series":
            if plan.rollups is not None:
                store.insert("rollups", plan.rollups)
            for statement in plan.rollup_plan.statements(plan.end, plan.begins):
                store.command(statement.sql, statement.parameters)
        store.insert(table, rows, f"{mark}:{plan.end}:{table}")


@pytest.fixture
def open_unmerged(open_database: Callable[[], Store]) -> Callable[[], Store]:
    """A function that opens one more database, which merges no parts."""

    def open_one() -> Store:
        store = open_database()
        for table in UNMERGED:
            store.command(f"SYSTEM STOP MERGES {{db}}.{table}")
        return store

    return open_one


def read_all(store: Store) -> list[Any]:
    """Return what each route and each view shows."""

    async def read(service: Service) -> list[Any]:
        return [await service.json(RUN, below, **query) for below, query in READ]

    with service_over(store) as service:
        found = asyncio.run(read(service))
    return found + [store.query(f"SELECT * FROM {{db}}.{view} ORDER BY ALL").to_pylist() for view in VIEWS]


@pytest.mark.parametrize(
    "order", [pytest.param([0, 0, 1, 1, 2, 2], marks=pytest.mark.long), [0, 1, 2, 2, 1, 0]], ids=str
)
def test_a_flush_that_is_stored_twice_or_late_counts_once(open_unmerged: Callable[[], Store], order: list[int]) -> None:
    plans = plans_of(a_log(), 3, 6)
    once, again = open_unmerged(), open_unmerged()
    for plan in plans:
        store_plan(once, plan, "first")
    for place, number in enumerate(order):
        store_plan(again, plans[number], str(place))
    twice = again.query("SELECT count() - uniqExact(key, step, version) AS n FROM {db}.points_number")["n"][0].as_py()
    assert twice > 0, "the engine has stored no row twice, so nothing is shown here"
    wanted, found = read_all(once), read_all(again)
    for place, (left, right) in enumerate(zip(wanted, found, strict=True)):
        assert repr(right) == repr(left), (*READ, *VIEWS)[place]


def test_an_edit_before_the_run_stays_without_effect_whatever_part_of_its_flush_is_stored(
    open_unmerged: Callable[[], Store],
) -> None:
    edit = RunUpdated(**RUN._asdict(), config='{"lr": 1}', edited=True)
    events = [edit, RunStarted(**RUN._asdict(), session="s", sequence=0), edit]
    messages = [Message(offset, 0, RUN.kafka_key, encode(event)) for offset, event in enumerate(events)]
    received, _ = receive_all(Codec(), messages)
    first, last = plans_of(received, 2)
    store = open_unmerged()
    for stored in range(len(first.tables) + 1):
        part = FlushPlan(**{**vars(first), "tables": dict(list(first.tables.items())[:stored])})
        store_plan(store, part, f"part-{stored}")
        state = load_states(store, [RUN], AsOf(0))[RUN]
        assert state.document is None, list(part.tables)
        again = plan_flush(received[:2], [], {RUN: state}, 2)
        for table, rows in first.tables.items():
            assert repr(again.tables[table].to_pylist()) == repr(rows.to_pylist()), table
    store_plan(store, last, "last")
    state = load_states(store, [RUN], AsOf(2))[RUN]
    assert state.document is not None, "the run was there before this flush"


def test_a_flush_of_which_any_part_is_stored_is_planned_again_alike(
    open_unmerged: Callable[[], Store],
) -> None:
    items = a_log()
    first, last = plans_of(items, 5)
    store = open_unmerged()
    store_plan(store, first, "first")
    before = load_states(store, [RUN], AsOf(5))[RUN]
    assert before.gaps == {"s": ((2, 3),)}
    for stored in range(len(last.tables) + 1):
        part = FlushPlan(**{**vars(last), "tables": dict(list(last.tables.items())[:stored])})
        store_plan(store, part, f"part-{stored}")
        state = load_states(store, [RUN], AsOf(5))[RUN]
        assert repr(state.series) == repr(before.series)
        assert (state.counts, state.session_counts) == (before.counts, before.session_counts)
        assert state.gaps == before.gaps
        again = plan_flush(items[5:], [], {RUN: state}, len(items))
        for table in ("points_number", "points_bool", "series", "run_activity", "session_activity", "run_states"):
            assert repr(again.tables[table].to_pylist()) == repr(last.tables[table].to_pylist()), table
