"""Deleted runs in the engine: their rows leave all tables, and a run of the same name has its own rows only."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from stepwell_ingestor.flush.state_loader import load_states
from stepwell_ingestor.messages import Received
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.positions.models import AsOf
from stepwell_ingestor.removal.late_rows import read_deletions, sweep
from stepwell_ingestor.removal.worker import RemovalWorker
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.run_rows import TABLES, count_rows, delete_rows, find_mixed_runs, note_unreferenced
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.clickhouse.tables import PUBLIC_VIEWS
from stepwell_schemas.events.models import (
    Block,
    Event,
    LogBatch,
    LogEvent,
    Media,
    MediaChunk,
    Other,
    RunDeleted,
    RunStarted,
)
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.factories.plans import received
from support.servers.query import Service, service_over
from support.servers.stack import Stack

RUN = RunPath("e", "p", "r")
OTHER = RunPath("e", "p", "other")
ROWS = 300
FILE = "a" * 64
SHARED = "b" * 64


def a_life(run: RunPath, session: str, shift: float, files: tuple[str, ...]) -> list[Event]:
    """Return events that fill every table: numbers with closed buckets, texts, media, a conflict, two spellings."""
    numbered: dict[str, Any] = {**run._asdict(), "session": session}
    values = np.arange(ROWS) + shift
    batch = LogBatch(
        **numbered,
        sequence=1,
        rows=ROWS,
        timestamps=np.arange(ROWS, dtype="<i8").tobytes(),
        blocks=[Block(kind=Kind.NUMBER, keys=["loss"], packed=values.tobytes())],
    )
    media = {f"image {name[0]}": Media(kind=Kind.IMAGE, json=f'{{"sha256": "{name}"}}') for name in files}
    data = {"LOSS": 1.0, "note": f"of {session}", "ok": True, "list": Other(json="[1]"), **media}
    return [
        RunStarted(**numbered, sequence=0, config=f'{{"shift": {shift}}}', timestamp=1_000_000),
        batch,
        *(
            MediaChunk(
                **run._asdict(), sha256=name, index=1, count=2, size=len(name), data=b"", content_type="image/png"
            )
            for name in files
        ),
        LogEvent(**numbered, sequence=ROWS + 1, step=3, data=data),
    ]


def the_log() -> tuple[list[Received], list[int]]:
    """Return a log with two lives of a run and the deletion between, and the places of its second life's events."""
    first = a_life(RUN, "first", 1000.0, (FILE, SHARED))
    deletion = RunDeleted(**RUN._asdict(), timestamp=500_000)
    late = LogEvent(**RUN._asdict(), session="first", sequence=ROWS + 2, data={"loss": -1.0, "late": 1.0})
    second = a_life(RUN, "second", 0.0, ())
    other = a_life(OTHER, "other", 5.0, (SHARED,))
    events = [*other, *first, deletion, late, *second]
    start = len(events) - len(second)
    return received(events), [*range(len(other)), *range(start, len(events))]


def plan_all(items: list[Received], places: list[int], store: Store | None = None) -> list[FlushPlan]:
    """Plan flushes cut at some places; with a store, from the states that it holds, and store them."""
    states, plans = {RUN: RunState(), OTHER: RunState()}, []
    for start, end in pairwise([0, *places, len(items)]):
        offset = items[start].message.offset
        if store is not None:
            states = load_states(store, [RUN, OTHER], AsOf(offset))
        plan = plan_flush(items[start:end], [], states, items[end - 1].message.offset + 1)
        plans.append(plan)
        states = states | plan.states
        if store is not None:
            store_plan(store, plan)
    return plans


def store_plan(store: Store, plan: FlushPlan, tables: int | None = None, *, delete: bool = True) -> None:
    """Store a flush as the ingestor does, or some of its tables, whatever tokens the engine knows."""
    if delete and plan.deletions:
        delete_rows(store, {path: deletion.offset for path, deletion in plan.deletions.items()})
        for deletion in plan.deletions.values():
            note_unreferenced(store, deletion.files)
    for table, rows in list(plan.tables.items())[:tables]:
        if table == "series":
            if plan.rollups is not None:
                store.insert("rollups", plan.rollups)
            for statement in plan.rollup_plan.statements(plan.end, plan.begins):
                store.command(statement.sql, statement.parameters)
        store.insert(table, rows, str(uuid.uuid4()))


@pytest.fixture(scope="module")
def expected(stack: Stack) -> Iterator[Store]:
    """A database into which only the events were stored that a deletion leaves, in one flush."""
    items, kept = the_log()
    with stack.lend_database() as name:
        plan_all([items[place] for place in kept], [], stack.embedded(name))
        yield stack.embedded(name)


@pytest.fixture(scope="module")
def wanted(expected: Store) -> dict[str, Any]:
    """All that can be read of it."""
    return read_all(expected)


def read_all(store: Store) -> dict[str, Any]:
    """Return the rows of all views and tables of runs, and answers of the service."""

    async def read(service: Service) -> list[Any]:
        return [
            await service.json(RUN, "series", key="loss", points=50),
            await service.json(RUN, "metrics"),
            await service.json(RUN, "history", samples=20),
            await service.json(RUN, ""),
        ]

    store.command("OPTIMIZE TABLE {db}.series FINAL")
    rows: dict[str, Any] = {
        name: store.query(f"SELECT * FROM {{db}}.{name} ORDER BY ALL").to_pylist() for name in PUBLIC_VIEWS
    }
    # Totals and versions of rollups have the end of a flush.
    columns = {
        "session_activity": "totals, content",
        "series": "totals",
        "run_activity": "totals",
        "rollups": "version",
    }
    for table in TABLES:
        left_out = f" EXCEPT ({columns[table]})" if table in columns else ""
        rows[table] = store.query(f"SELECT *{left_out} FROM {{db}}.{table} FINAL ORDER BY ALL").to_pylist()
    with service_over(store) as service:
        return rows | {"service": asyncio.run(read(service))}


def differing(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    return [name for name in left if repr(left[name]) != repr(right[name])]


def test_only_the_second_life_is_left_however_the_log_is_flushed(
    open_database: Callable[[], Store], wanted: dict[str, Any]
) -> None:
    items, _ = the_log()
    assert wanted["numbers"]
    deletion = next(place for place, item in enumerate(items) if isinstance(item.event, RunDeleted))
    for places in ([], [deletion + 1], [3, deletion - 1, deletion + 2, len(items) - 1]):
        store = open_database()
        plan_all(items, places, store)
        assert differing(wanted, read_all(store)) == [], places
        removed = store.query("SELECT sha256, size FROM {db}.media_removals FINAL ORDER BY ALL").to_pylist()
        assert removed == [{"sha256": FILE, "size": 64}, {"sha256": SHARED, "size": 64}]


def test_a_flush_with_a_deletion_may_be_repeated_after_any_part_of_it(
    open_database: Callable[[], Store], wanted: dict[str, Any]
) -> None:
    items, _ = the_log()
    cut = next(place for place, item in enumerate(items) if isinstance(item.event, RunDeleted)) - 1
    store = open_database()
    plan_all(items[:cut], [], store)
    as_of = AsOf(items[cut].message.offset)

    def plan() -> FlushPlan:
        return plan_flush(items[cut:], [], load_states(store, [RUN], as_of), len(items))

    first = plan()
    for stored in range(len(first.tables) + 1):
        again = plan()
        store_plan(store, again, stored)
        assert [(name, again.tables[name].to_pylist()) for name in ("run_states", "series", "run_documents")] == [
            (name, first.tables[name].to_pylist()) for name in ("run_states", "series", "run_documents")
        ]
    store_plan(store, plan())
    assert differing(wanted, read_all(store)) == []


def stop_merges(store: Store) -> None:
    """Let no merge join rows by chance. `SYSTEM STOP MERGES` would stop deletions, too."""
    for table in ("series", "key_spellings", "run_activity", "session_activity"):
        store.command(f"ALTER TABLE {{db}}.{table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1")


def store_late(store: Store, late_after: int, *, merged: bool = False) -> RunState:
    """Store the log, and the deleted run's flush again after one of three flushes; return the new run's state."""
    items, _ = the_log()
    deletion = next(place for place, item in enumerate(items) if isinstance(item.event, RunDeleted))
    stop_merges(store)
    (late,) = plan_all([item for item in items[:deletion] if item.path == RUN], [])
    cuts = [0, deletion + 1, len(items) - 1, len(items)]
    for number, (start, end) in enumerate(pairwise(cuts)):
        as_of = AsOf(items[start].message.offset)
        plan = plan_flush(
            items[start:end], [], load_states(store, [RUN, OTHER], as_of), items[end - 1].message.offset + 1
        )
        store_plan(store, plan)
        if number == late_after:
            store_plan(store, late)
            if merged:
                for table in ("series", "key_spellings"):
                    store.command(f"OPTIMIZE TABLE {{db}}.{table} FINAL")
    return load_states(store, [RUN], AsOf(items[-1].message.offset + 1))[RUN]


@pytest.mark.parametrize(
    "late_after",
    [
        pytest.param(0, id="before the new run", marks=pytest.mark.long),
        pytest.param(1, id="within it"),
        pytest.param(2, id="after it"),
    ],
)
def test_rows_that_a_frozen_ingestor_inserts_late_are_none_of_the_new_run(
    open_database: Callable[[], Store], expected: Store, wanted: dict[str, Any], late_after: int
) -> None:
    items, _ = the_log()
    store = open_database()
    wanted_state = load_states(expected, [RUN], AsOf(items[-1].message.offset + 1))[RUN]
    state = store_late(store, late_after)
    for name in ("writers", "sessions", "spellings", "stored_as", "session_counts", "contents", "gaps"):
        assert dict(getattr(state, name).items()) == dict(getattr(wanted_state, name).items()), name
    assert (state.counts, state.document) == (wanted_state.counts, wanted_state.document)
    assert [(one, state.series[one]) for one in sorted(state.series)] == [
        (one, wanted_state.series[one]) for one in sorted(wanted_state.series)
    ]
    assert sweep(store, 1.0).statements > 0
    assert sweep(store, 1.0) == (0, [])
    left, right = deepcopy(wanted), read_all(store)
    # Rows of spellings that both runs have may stay.
    for rows in (left["key_spellings"], right["key_spellings"]):
        for row in rows:
            del row["first_version"]
    assert differing(left, right) == []


def test_a_run_with_which_late_rows_were_merged_is_reported_and_keeps_its_spellings(
    open_database: Callable[[], Store], expected: Store
) -> None:
    items, _ = the_log()
    store = open_database()
    state = store_late(store, 2, merged=True)
    wanted = load_states(expected, [RUN], AsOf(items[-1].message.offset + 1))[RUN]
    assert dict(state.stored_as.items())["loss"] == dict(wanted.stored_as.items())["loss"]
    assert find_mixed_runs(store, read_deletions(store, 0.0)) == [RUN]
    worker = RemovalWorker(IngestorSettings(kafka_bootstrap_servers="unused"), store, MediaStore("memory://"))
    with capture_logs() as logs:
        asyncio.run(worker.make_pass(1.0))
    assert REGISTRY.get_sample_value("stepwell_ingestor_mixed_alarm") == 1
    assert [line["runs"] for line in logs if line["event"] == "runs_mixed"] == [["e/p/r"]]
    sql = "SELECT DISTINCT key FROM {db}.series ORDER BY key"
    assert store.query(sql).to_pylist() == expected.query(sql).to_pylist()
    kept_spellings = "SELECT count() AS n FROM {db}.key_spellings WHERE run_id = 'r' AND spelling = 'loss'"
    assert store.query(kept_spellings)["n"][0].as_py() == 1


def test_a_deleted_run_leaves_nothing(open_database: Callable[[], Store]) -> None:
    items, _ = the_log()
    store = open_database()
    first = next(place for place, item in enumerate(items) if isinstance(item.event, RunDeleted)) + 1
    before = open_database()
    plan_all(items[: first - 1], [], before)
    counted = {found.table: found.rows for found in count_rows(before, "e", "p", ["r"])}
    # `test_retention` fills those of retention, and deletes their rows with the run.
    filled = set(TABLES) - {"retained_steps", "removed_figures"}
    assert counted.keys() == filled, "the log fills every table"
    assert counted["points_number"] >= ROWS
    assert sum(found.bytes for found in count_rows(before, "e", "p", ["r"])) > 0
    both = {found.table: found.rows for found in count_rows(before, "e", "p")}
    assert all(both[table] > rows for table, rows in counted.items())
    plan_all(items[:first], [2, first - 2], store)
    assert count_rows(store, "e", "p", ["r"]) == []
    # Of tables that merges shrink, the number of rows depends on the flushes.
    others = [{found.table for found in count_rows(one, "e", "p", ["other"])} for one in (store, before)]
    assert others[0] == others[1] == filled
    for view in PUBLIC_VIEWS:
        left = store.query(f"SELECT count() AS n FROM {{db}}.{view} WHERE run_id = 'r'")["n"][0].as_py()
        assert left == 0, view
