"""Every Kafka message becomes an event or one dead letter, whatever its bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.accumulator import ReplacedTimes
from stepwell_ingestor.planner.plan import FlushPlan, plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import Codec, encode
from stepwell_schemas.events.models import Block, Event, LogBatch, LogEvent, MediaChunk, RunStarted, RunUpdated
from stepwell_schemas.limits import KEY_MAX_CHARS, LATEST_TIMESTAMP, MAX_STEP
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from stepwell_schemas.rules.steps import NO_STEP

PATH = RunPath("e", "p", "r")
GOOD = LogEvent(**PATH._asdict(), data={"good": 1.0})
RECORD_MILLISECONDS = 1_700_000_000_000


def planned(values: list[bytes]) -> FlushPlan:
    """Read and plan message values at offsets from 0."""
    messages = [Message(offset, RECORD_MILLISECONDS, None, value) for offset, value in enumerate(values)]
    received, dead = receive_all(Codec(), messages)
    before = {item.path: RunState() for item in received}
    return plan_flush(received, dead, before, len(values))


def reasons(plan: FlushPlan) -> list[tuple[int, str]]:
    """Return the dead letters' offsets and reasons."""
    return [(letter.message.offset, str(letter.reason)) for letter in plan.dead]


def column(plan: FlushPlan, table: str, name: str) -> list[Any]:
    """Return a column of a table, empty where the plan has none."""
    return plan.tables[table].column(name).to_pylist() if table in plan.tables else []


def a_batch(rows: int = 1, **fields: Any) -> LogBatch:
    """Return a batch of rows at time 0 that log nothing, unless `fields` say more."""
    return LogBatch(**PATH._asdict() | {"rows": rows, "timestamps": bytes(8 * rows), "blocks": []} | fields)


def one_number(key: str = "x", **fields: Any) -> Block:
    """Return a block with one number."""
    return Block(kind=Kind.NUMBER, keys=[key], packed=np.array([1.0]).tobytes(), **fields)


def steps(*asked: int) -> bytes:
    """Return asked steps as they travel."""
    return np.array(asked, "<i8").tobytes()


def a_chunk(data: bytes, **changes: Any) -> MediaChunk:
    """Return a media file in one piece."""
    fields = {"sha256": hashlib.sha256(data).hexdigest(), "index": 0, "count": 1, "size": len(data), "data": data}
    return MediaChunk(**{**PATH._asdict(), **fields, **changes})


DEEP = "[" * 100_000 + "]" * 100_000
UNUSABLE: list[tuple[Event, str]] = [
    (LogEvent(entity="a/b", project="p", run_id="r", data={}), "bad_identifier"),
    (LogEvent(**PATH._asdict(), step=MAX_STEP + 1, data={"x": 1.0}), "bad_step"),
    (a_batch(steps=steps(-MAX_STEP - 1), blocks=[one_number()]), "bad_step"),
    (a_batch(commits=b"\3", blocks=[one_number()]), "bad_value"),
    (a_batch(session="s", sequence=-2), "bad_value"),
    (a_batch(session="s", sequence=2**63 - 1), "bad_value"),
    (LogEvent(**PATH._asdict(), data={"x": {"kind": "number", "json": "1"}}), "bad_value"),
    (LogEvent(**PATH._asdict(), data={"x": {"json": "[1"}}), "bad_value"),
    (a_batch(2, blocks=[one_number(rows=b"\2\0\0\0")]), "bad_value"),
    (RunStarted(**PATH._asdict(), config="[]"), "bad_value"),
    (RunUpdated(**PATH._asdict(), summary=DEEP), "bad_value"),
    (a_chunk(b"x", sha256="0" * 64), "bad_media"),
    (a_chunk(b"x", size=2), "bad_media"),
    (a_chunk(b"x", index=1), "bad_media"),
    (a_chunk(b"x", content_type="text/\n"), "bad_media"),
]


@pytest.mark.parametrize(("event", "reason"), UNUSABLE)
def test_what_cannot_be_used_is_one_dead_letter_between_good_neighbours(event: Event, reason: str) -> None:
    good = encode(GOOD)
    plan = planned([good, encode(event), good])
    assert reasons(plan) == [(1, reason)]
    assert column(plan, "points_number", "key") == ["good", "good"]


def test_the_good_keys_of_an_event_are_stored_and_the_bad_ones_named_once() -> None:
    bad = ["", "k" * (KEY_MAX_CHARS + 1), "a\nb"]
    plan = planned([encode(LogEvent(**PATH._asdict(), data={"good": 1.0, **dict.fromkeys(bad, 2.0)}))])
    assert column(plan, "points_number", "key") == ["good"]
    assert reasons(plan) == [(0, "bad_key")]
    assert "key ''" in plan.dead[0].detail
    assert "'a\\nb'" in plan.dead[0].detail


def test_times_that_clickhouse_cannot_hold_become_the_record_s_own() -> None:
    absurd = [-5, LATEST_TIMESTAMP + 1, 2**63 - 1, 7_000]
    batch = a_batch(4, timestamps=steps(*absurd), blocks=[Block(kind=Kind.BOOL, keys=["b"], packed=bytes(4))])
    times = [int(at.timestamp() * 1_000) for at in column(planned([encode(batch)]), "points_bool", "timestamp")]
    assert times == [RECORD_MILLISECONDS] * 3 + [7]


def test_times_that_are_replaced_are_counted_once() -> None:
    path = PATH._asdict()
    events = [
        a_batch(3, session="s", sequence=0, timestamps=steps(-5, 7_000, LATEST_TIMESTAMP + 1)),
        RunUpdated(**path, session="s", sequence=3, timestamp=-2, notes="n"),
        a_batch(3, session="s", sequence=0, timestamps=steps(-5, 7_000, 7_000)),
        LogEvent(**path, timestamp=2**60, data={"x": 1.0}),
        LogEvent(**path, data={"x": 1.0}),
        LogEvent(**path, timestamp=7_000, data={"x": 1.0}),
    ]
    plan = planned([encode(event) for event in events])
    assert list(plan.replaced_times) == [
        ReplacedTimes(PATH, "s", 0, -5, 2),
        ReplacedTimes(PATH, "s", 1, -2, 1),
        ReplacedTimes(PATH, "", 3, 2**60, 1),
    ]


@given(st.lists(st.binary(max_size=40) | st.builds(lambda cut: encode(GOOD)[:cut], st.integers(0, 60)), max_size=6))
def test_any_bytes_are_settled(values: list[bytes]) -> None:
    plan = planned(values)
    assert len(plan.dead) + len(column(plan, "points_number", "key")) == len(values)


int64s = st.sampled_from([NO_STEP, NO_STEP + 1, -MAX_STEP, -1, 0, 1, 5, MAX_STEP, MAX_STEP + 1, 2**63 - 1])
texts = st.text(max_size=5) | st.sampled_from(["", "a", "A", "\0", "ß", "ss", "k" * 2_000])


@st.composite
def blocks(draw: st.DrawFn, rows: int) -> Block:
    """Any block that the event model lets pass."""
    kind = draw(st.sampled_from(list(Kind)))
    keys = draw(st.lists(texts, max_size=3))
    places = draw(st.none() | st.lists(st.integers(0, rows + 1), max_size=rows + 1))
    values = len(keys) * (rows if places is None else len(places))
    width = {Kind.NUMBER: 8, Kind.BOOL: 1}.get(kind, 0)
    exact = [{"index": draw(st.integers(0, values - 1)), "text": "9"}] if values and kind is Kind.NUMBER else []
    return Block.model_validate(
        {
            "kind": kind,
            "keys": keys,
            "rows": None if places is None else np.array(places, "<u4").tobytes(),
            "packed": draw(st.binary(min_size=values * width, max_size=values * width)),
            "texts": [] if width else [draw(st.sampled_from(["1", "{}", "{", "NaN", ""])) for _ in range(values)],
            "exact": exact,
        }
    )


@st.composite
def batches(draw: st.DrawFn) -> LogBatch:
    """Any batch that the event model lets pass."""
    rows = draw(st.integers(0, 4))
    column_of = st.lists(int64s, min_size=rows, max_size=rows).map(lambda values: steps(*values))
    return a_batch(
        rows,
        session=draw(st.sampled_from(["", "s"])),
        sequence=draw(int64s),
        timestamp=draw(int64s),
        timestamps=draw(column_of),
        steps=draw(st.none() | column_of),
        commits=draw(st.none() | st.binary(min_size=rows, max_size=rows)),
        blocks=draw(st.lists(blocks(rows), max_size=3)),
    )


@given(st.lists(batches(), max_size=4))
def test_any_batch_is_planned_without_an_error_and_leaves_its_neighbour(events: list[LogBatch]) -> None:
    other = GOOD.model_copy(update={"run_id": "another"})
    plan = planned([encode(event) for event in [*events, other]])
    assert column(plan, "points_number", "key").count("good") == 1
    for table in plan.tables.values():
        table.validate(full=True)
