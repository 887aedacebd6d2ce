"""`stepwell deadletters`: unusable events are listed, shown and sent again, with the real broker."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from stepwell_deploy.deadletters.topic import TopicLog
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.settings import KafkaSettings
from support.servers.command import run_stepwell
from support.servers.ingest import read_all, send
from support.servers.sdk import Served, eventually, serving
from support.servers.stack import Topics, limit_topic

STEPWELL = Path(sys.executable).parent / "stepwell"
RUN = RunPath("me", "p", "run")
AN_EVENT = LogEvent(**RUN._asdict(), data={"x": 1.0})
GARBAGE = b"\x1b[31mnot avro\x00\xff"
BAD_KEY = encode(LogEvent(**RUN._asdict(), data={"kept": 2.0, "": 3.0}))
WRONG_STEP = encode(LogEvent(**RUN._asdict(), step=2**63 - 1, data={"x": 1.0}))

Command = Callable[..., subprocess.CompletedProcess[bytes]]


def run_command(environment: dict[str, str], *arguments: str, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Run `stepwell deadletters …` with these settings and no others, and check the exit code."""
    return run_stepwell("deadletters", *arguments, environment={"COLUMNS": "250", **environment}, code=code)


@pytest.fixture
def command(sdk: Served, topics: Topics) -> Command:
    """A function that runs `stepwell deadletters …` with the test's broker, ingestor and service."""
    environment = {**sdk.environment, "STEPWELL_DEADLETTERS_TOPIC": topics.deadletters}
    return lambda *arguments, code=0: run_command(environment, *arguments, code=code)


def as_json(done: subprocess.CompletedProcess[bytes]) -> Any:
    """Return the JSON that a command printed."""
    return json.loads(done.stdout)


def bury(broker: str, topics: Topics, values: list[bytes], key: bytes | None = RUN.kafka_key) -> list[Any]:
    """Send unusable events; wait for their letters and return them."""
    asyncio.run(send(broker, topics.events, values, key))
    return asyncio.run(read_all(broker, topics.deadletters, len(values)))


def records(broker: str, topic: str) -> list[Any]:
    """Return all records of a topic."""

    async def read() -> list[Any]:
        async with TopicLog.open(KafkaSettings(kafka_bootstrap_servers=broker), topic) as log:
            return [record async for record in log.records()]

    return asyncio.run(read())


def test_foreign_poison_is_listed(broker: str, topics: Topics, command: Command) -> None:
    letters = bury(broker, topics, [GARBAGE, BAD_KEY, WRONG_STEP])
    listed = as_json(command("list", "--json"))
    partition = dict(letters[0].headers)["partition"].decode()
    assert [(one["name"], one["reason"], one["origin"], one["bytes"], one["partly_stored"]) for one in listed] == [
        ("0", "unknown_framing", f"{topics.events}/{partition}/0", len(GARBAGE), False),
        ("1", "bad_key", f"{topics.events}/{partition}/1", len(BAD_KEY), True),
        ("2", "bad_step", f"{topics.events}/{partition}/2", len(WRONG_STEP), False),
    ]
    assert {one["run"] for one in listed} == {"me/p/run"}
    assert {one["redriven"] for one in listed} == {False}
    assert [one["name"] for one in as_json(command("list", "--reason", "bad_key", "--json"))] == ["1"]
    assert [one["name"] for one in as_json(command("list", "--limit", "2", "--json"))] == ["1", "2"]
    assert as_json(command("list", "--run", "me/p/other", "--json")) == []
    table = command("list", "--limit", "2").stdout.decode()
    assert "partly stored" in table.splitlines()[1]
    assert re.search(r"^1 .*--limit", table, re.MULTILINE)
    assert b"unknown_nonsense" in command("list", "--reason", "unknown_nonsense", code=2).stderr


def test_a_letter_is_shown_and_written_byte_for_byte(
    broker: str, topics: Topics, command: Command, tmp_path: Path
) -> None:
    bury(broker, topics, [GARBAGE, BAD_KEY])
    garbage = command("show", "0").stdout.decode()
    assert "1b 5b 33 31 6d 6e 6f 74" in garbage
    assert ".[31mnot avro" in garbage
    assert "\x1b" not in garbage
    bad_key = command("show", "0:1").stdout.decode()
    for said in ("header reason", "bad_key", "header stored", "me/p/run", "LogEvent", "kept"):
        assert said in bad_key
    shown = as_json(command("show", "1", "--json"))
    assert shown["headers"]["topic"] == topics.events
    assert ["keys", "kept, "] in shown["event"]
    command("show", "0", "--payload", str(tmp_path / "payload"))
    assert (tmp_path / "payload").read_bytes() == GARBAGE
    assert command("show", "1", "--payload", "-").stdout == BAD_KEY
    assert b"there is no dead letter '2'" in command("show", "2", code=1).stderr
    assert b"there is no dead letter 'x'" in command("show", "x", code=1).stderr
    assert b"there is no dead letter '1:0'" in command("redrive", "0", "1:0", code=1).stderr
    assert len(records(broker, topics.events)) == 2, "a wrong name among good ones sends nothing"


def test_what_can_be_used_since_is_stored_once_however_often_it_is_redriven(
    broker: str, topics: Topics, sdk: Served, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [encode(AN_EVENT.model_copy(update={"data": {"x": float(number)}})) for number in range(3)]
    with monkeypatch.context() as stricter:
        # As if an operator had raised the ingestor's limit meanwhile.
        stricter.setattr("stepwell_schemas.events.codec.MAX_EVENT_BYTES", 8)
        bury(broker, topics, values)
    for _ in range(2):
        assert as_json(command("redrive", "--reason", "oversized", "--json"))["sent"] == ["0", "1", "2"]
    asyncio.run(send(broker, topics.events, [encode(AN_EVENT.model_copy(update={"data": {"last": 1.0}}))]))
    eventually(lambda: [step for step, _ in sdk.numbers("last")], [3])
    assert sdk.numbers("x") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    events = records(broker, topics.events)
    first, again = events[:3], events[3:6]
    assert [(one.value, one.key, one.timestamp) for one in again] == [
        (one.value, one.key, one.timestamp) for one in first
    ]
    assert [one["redriven"] for one in as_json(command("list", "--json"))] == [True, True, True]
    assert command("list").stdout.decode().count("redriven") == 3


def test_what_is_partly_stored_is_sent_only_when_asked_for(
    broker: str, topics: Topics, sdk: Served, command: Command
) -> None:
    bury(broker, topics, [BAD_KEY])
    skipped = command("redrive", "--all").stdout.decode()
    assert "0 sent again" in skipped
    assert re.search(r"^1 .*--partly-stored.*: 0$", skipped, re.MULTILINE)
    for _ in range(2):
        assert "1 sent again" in command("redrive", "0", "--partly-stored").stdout.decode()
    asyncio.run(send(broker, topics.events, [encode(AN_EVENT)], RUN.kafka_key))
    eventually(lambda: len(sdk.numbers("x")), 1)
    assert sdk.numbers("kept") == [(0, 2.0), (1, 2.0)]


def test_what_is_refused_again_keeps_its_first_origin(broker: str, topics: Topics, command: Command) -> None:
    bury(broker, topics, [GARBAGE])
    command("redrive", "0")
    asyncio.run(read_all(broker, topics.deadletters, 2))
    first, second = as_json(command("list", "--json"))
    assert second["first_origin"] == first["origin"] != second["origin"]
    assert "refused again" in command("list").stdout.decode()
    sent = as_json(command("redrive", "--all", "--json"))
    assert sent == {"sent": ["0"], "same_event": ["1"], "partly_stored": [], "failed": []}
    assert [record.value for record in records(broker, topics.events)] == [GARBAGE] * 3


def test_an_event_too_large_for_a_letter_is_taken_from_its_origin(
    broker: str, topics: Topics, command: Command
) -> None:
    giant = b"giant" * MIB
    asyncio.run(limit_topic(broker, topics.deadletters, MIB))
    (letter,) = bury(broker, topics, [giant], key=None)
    assert letter.value is None
    assert command("show", "0", "--payload", "-").stdout == giant
    assert "still at the origin" in command("show", "0").stdout.decode()
    command("redrive", "0")
    asyncio.run(read_all(broker, topics.deadletters, 2))
    partition = int(dict(letter.headers)["partition"])
    assert [(one.partition, one.value, one.key) for one in records(broker, topics.events)] == [
        (partition, giant, None)
    ] * 2
    asyncio.run(forget(broker, TopicPartition(topics.events, partition), before=1))
    gone = command("redrive", "0", code=1)
    assert f"0 not sent: its bytes were too large for a letter, and Kafka no longer holds them at {topics.events}" in (
        gone.stderr.decode()
    )


async def forget(broker: str, partition: TopicPartition, before: int) -> None:
    """Delete the records of a partition before an offset."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await admin.delete_records({partition: RecordsToDelete(before_offset=before)})
    finally:
        await admin.close()


def test_a_record_that_no_ingestor_has_put_there_is_listed_and_not_sent(
    broker: str, topics: Topics, command: Command
) -> None:
    async def put() -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
            headers = [("topic", b"nowhere"), ("partition", b"0"), ("offset", b"0")]
            await producer.send_and_wait(topics.deadletters, b"stray", headers=[("reason", b"[/bold] \x1b[31m")])
            await producer.send_and_wait(topics.deadletters, b"lost", headers=headers)
            await producer.send_and_wait(topics.deadletters, b"stray")

    asyncio.run(put())
    table = command("list").stdout.decode()
    assert "[/bold] \\x1b[31m" in table
    assert "nowhere/0/0" in table
    assert "0 not sent: its headers name no topic" in command("redrive", "0", code=1).stderr.decode()
    problems = command("redrive", "--all", code=1).stderr.decode()
    assert "1 not sent: Kafka has no topic nowhere" in problems
    assert "2 not sent: its headers name no topic" in problems


def test_without_settings_of_its_own_the_service_is_asked(
    broker: str, topics: Topics, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEPWELL_KAFKA_BOOTSTRAP_SERVERS", broker)
    monkeypatch.setenv("STEPWELL_DEADLETTERS_TOPIC", topics.deadletters)
    with serving(chdb_store) as url:
        bare = {name: value for name, value in os.environ.items() if not name.startswith("STEPWELL_")}
        # In a process of its own, unlike the other commands of this module.
        listed = [str(STEPWELL), "deadletters", "list"]
        environment = {**bare, "STEPWELL_BASE_URL": url}
        done = subprocess.run(listed, env=environment, capture_output=True, check=True, timeout=60)
        assert (done.stdout, done.stderr) == (b"no dead letters\n", b"")
    gone = run_command({"STEPWELL_BASE_URL": url}, "list", code=1).stderr.decode()
    assert "start one with `stepwell up`" in gone


def test_without_a_broker_it_says_so_in_one_line() -> None:
    away = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    assert run_command(away, "list", code=1).stderr.decode() == "stepwell: no Kafka broker answers at 127.0.0.1:9\n"
    assert b"not both" in run_command(away, "redrive", code=2).stderr
    assert b"not both" in run_command(away, "redrive", "0", "--all", code=2).stderr
