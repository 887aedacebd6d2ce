"""The ingestor between the real broker and the real engine."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode, schema_fingerprint, schema_source
from stepwell_schemas.events.models import Block, LogEvent, RunFinished, RunStarted
from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from stepwell_schemas.rules.kinds import Kind
from support.servers.ingest import (
    PATH,
    a_batch,
    counted,
    ingesting,
    make_ingestor_settings,
    numbers,
    read_all,
    send,
    until,
)
from support.servers.stack import Topics, limit_topic

pytestmark = pytest.mark.anyio


async def test_batches_become_rows_at_their_steps(broker: str, topics: Topics, store: Store) -> None:
    events = [
        RunStarted(
            **PATH._asdict(),
            session="s",
            sequence=0,
            config='{"lr": 0.1}',
            display_name="first",
            program="train.py",
            git_commit="0" * 40,
            git_dirty=True,
        ),
        a_batch(1, 3),
        a_batch(4, 2),
        a_batch(2, 5),
        RunFinished(**PATH._asdict(), session="s", sequence=7),
    ]
    async with ingesting(make_ingestor_settings(broker, topics), store):
        await send(broker, topics.events, [encode(event) for event in events])
        await until(counted(store, "numbers"), 12)
        await until(lambda: store.query("SELECT state FROM {db}.runs").column("state").to_pylist(), ["finished"])
    assert numbers(store) == {
        "a": [(step, step + 1.0) for step in range(6)],
        "b": [(step, (step + 1) / 10) for step in range(6)],
    }
    run = store.query("SELECT run_id, name, config, last_step, log_rows, points FROM {db}.runs").to_pylist()
    assert [tuple(row.values()) for row in run] == [(PATH.run_id, "first", '{"lr": 0.1}', 5, 6, 12)]
    code = store.query("SELECT program, git_commit, git_dirty FROM {db}.runs").to_pylist()
    assert code == [{"program": "train.py", "git_commit": "0" * 40, "git_dirty": True}]
    metrics = store.query("SELECT key, kind, first_step, last_step, count FROM {db}.metrics ORDER BY key").to_pylist()
    assert [tuple(row.values()) for row in metrics] == [("a", "number", 0, 5, 6), ("b", "number", 0, 5, 6)]


async def test_a_foreign_producer_needs_only_avro(broker: str, topics: Topics, store: Store) -> None:
    schema = fastavro.parse_schema(schema_source("LogEvent"))
    calls: list[tuple[dict[str, Any], int | None]] = [
        ({"loss": 0.5, "Note": "hi", "ok": True}, None),
        ({"LOSS": 0.25, "big": 2**62 + 1, "list": {"json": "[1, 2]"}, "nothing": None}, None),
        ({"loss": 0.125}, 7),
        ({"loss": float("nan")}, 3),
    ]
    values = []
    for data, step in calls:
        buffer = io.BytesIO()
        buffer.write(b"\xc3\x01" + schema_fingerprint("LogEvent"))
        fastavro.schemaless_writer(buffer, schema, {**PATH._asdict(), "data": data, "step": step})
        values.append(buffer.getvalue())
    async with ingesting(make_ingestor_settings(broker, topics), store):
        await send(broker, topics.events, values)
        await until(counted(store, "numbers"), 5)
        await until(counted(store, "others"), 2)
    found = numbers(store)
    assert [(step, value) for step, value in found["loss"][:2]] == [(0, 0.5), (1, 0.25)]
    # Step 3 had passed when it was requested: the value is a row of its own after step 7, and the conflict is recorded.
    assert found["loss"][2] == (7, 0.125)
    assert found["loss"][3][0] == 8
    assert np.isnan(found["loss"][3][1])
    conflicts = store.query("SELECT asked_step, step FROM {db}.step_conflicts").to_pylist()
    assert conflicts == [{"asked_step": 3, "step": 8}]
    assert store.query("SELECT exact FROM {db}.numbers WHERE key = 'big'").column("exact").to_pylist() == [
        str(2**62 + 1)
    ]
    assert store.query("SELECT key, value FROM {db}.strings").to_pylist() == [{"key": "Note", "value": "hi"}]
    assert store.query("SELECT key, value FROM {db}.bools").to_pylist() == [{"key": "ok", "value": True}]
    counts = store.query("SELECT count FROM {db}.metrics WHERE key = 'loss'").column("count").to_pylist()
    assert counts == [4]


async def test_poison_goes_to_the_dead_letters_and_touches_no_neighbour(
    broker: str, topics: Topics, chdb_store: Store
) -> None:
    good = encode(LogEvent(**PATH._asdict(), data={"x": 1.0}))
    bad_key = encode(LogEvent(**PATH._asdict(), data={"y": 2.0, "k" * 10_000: 3.0}))
    poison = [
        b"",
        b"not avro",
        b"\xc3\x01" + bytes(8),
        good[:-3],
        encode(LogEvent(entity="a/b", project="p", run_id="r", data={"x": 1.0})),
        encode(LogEvent(**PATH._asdict(), step=2**63 - 1, data={"x": 1.0})),
        bad_key,
        encode(a_batch(0, 2, blocks=[Block(kind=Kind.NUMBER, keys=["z"], rows=b"\7\0\0\0", packed=bytes(8))])),
    ]
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store):
        await send(broker, topics.events, [value for bad in poison for value in (good, bad)] + [good])
        await until(lambda: len(numbers(chdb_store).get("x", [])), len(poison) + 1)
        letters = await read_all(broker, topics.deadletters, len(poison))
    assert numbers(chdb_store)["y"], "the good key of an event with a bad one is stored"
    assert [letter.value for letter in letters] == poison
    reasons = [dict(letter.headers)["reason"].decode() for letter in letters]
    assert reasons == [
        "unknown_framing", "unknown_framing", "unknown_schema", "malformed",
        "bad_identifier", "bad_step", "bad_key", "bad_value",
    ]  # fmt: skip


@pytest.mark.parametrize("small_topic", [False, True], ids=["our topic", "a topic with a smaller limit"])
async def test_poison_that_fills_its_topic_s_limit_does_not_stop_its_partition(
    broker: str, topics: Topics, chdb_store: Store, small_topic: bool
) -> None:
    largest = bytes(MAX_EVENT_BYTES + MIB - 200)
    good = encode(LogEvent(**PATH._asdict(), data={"x": 1.0}))
    if small_topic:
        await limit_topic(broker, topics.deadletters, MIB)
    async with ingesting(make_ingestor_settings(broker, topics), chdb_store):
        await send(broker, topics.events, [good, largest, b"small poison", largest, good])
        await until(lambda: len(numbers(chdb_store).get("x", [])), 2)
        letters = await read_all(broker, topics.deadletters, 3)
    assert sorted((dict(letter.headers)["offset"], letter.value) for letter in letters) == [
        (b"1", None if small_topic else largest),
        (b"2", b"small poison"),
        (b"3", None if small_topic else largest),
    ]


async def test_an_unfinished_flush_is_repeated_and_counts_once(broker: str, topics: Topics, chdb_store: Store) -> None:
    settings = make_ingestor_settings(broker, topics)
    batches = [encode(a_batch(0, 3)), encode(a_batch(3, 3)), encode(a_batch(6, 3))]
    async with ingesting(settings, chdb_store):
        await send(broker, topics.events, batches[:2])
        await until(counted(chdb_store, "numbers"), 12)
    # Simulate a crash after the inserts: the offsets are reset, and the plan is still committed.
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, group_id=settings.ingestor_group, enable_auto_commit=False)
    async with consumer:
        partitions = [TopicPartition(topics.events, number) for number in (0, 1)]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.commit({p: OffsetAndMetadata(0, str(ends[p])) for p in partitions if ends[p]})
    async with ingesting(settings, chdb_store):
        await send(broker, topics.events, batches[1:])
        await until(counted(chdb_store, "numbers"), 18)
    assert [step for step, _ in numbers(chdb_store)["a"]] == list(range(9))
    assert [value for _, value in numbers(chdb_store)["a"]] == [float(value) for value in range(9)]
    run = chdb_store.query("SELECT log_rows, points, step_conflicts FROM {db}.runs").to_pylist()
    assert run == [{"log_rows": 9, "points": 18, "step_conflicts": 0}]
