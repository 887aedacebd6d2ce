"""`stepwell verify` with the real parts: equal data is reported as the same, and each difference is listed.

Most tests call the command's function in this process. The process of the replay is forked from a server that has
imported everything, since a new interpreter takes 3 s of CPU time for that. Training scripts are separate processes
only if they are killed.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

import stepwell
from stepwell_deploy.cli.commands.verify import report_on
from stepwell_deploy.verify import runner
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent
from stepwell_schemas.rules.identifiers import RunPath
from support.servers.command import replays_from_a_server, run_stepwell, start_stepwell
from support.servers.ingest import ingest_points, make_ingestor_settings, send
from support.servers.sdk import Served, eventually, serving
from support.servers.stack import Stack, Topics

RUN = RunPath("me", "p", "run")
_SECONDS = 90.0
_ROW_SECONDS = 0.1

_KILLED = """
import os, signal, stepwell
run = stepwell.init(id="run", mode="offline")
for row in range(5):
    run.log({"late": row})
os.kill(os.getpid(), signal.SIGKILL)
"""


def log_rich(sdk: Served, **settings: Any) -> None:
    """Log a run with merges, a conflict, a key of two kinds, NaN, a second spelling and an integer beyond float64."""
    with stepwell.init(id="run", config={"lr": 0.1}, settings={**sdk.settings, "quiet": True, **settings}) as run:
        for row in range(200):
            run.log({"loss": row / 7, "ok": row % 2 == 0, "ramp": row / 7, "slope": row / 7})
        run.log({"loss": math.nan, "gap": math.nan, "big": 2**62 + 1, "list": [1, 2]})
        run.log({"LOSS": -0.0, "note": "fünf", "ramp": 1.0, "slope": 1.0}, step=300)
        run.log({"note": "merged", "loss": 5.0}, step=300)
        run.log({"loss": 1.0}, step=7)
        run.log({"loss": "now a text"})


@contextmanager
def logging_meanwhile(sdk: Served, **settings: Any) -> Iterator[list[int]]:
    """Log rows in another thread for the block; yields a list that has their number after its end."""
    stopped = threading.Event()
    rows: list[int] = []

    def log() -> None:
        with stepwell.init(id="run", settings={**sdk.settings, "quiet": True, **settings}) as run:
            row = 0
            while not stopped.wait(_ROW_SECONDS):
                run.log({"row": row})
                row += 1
        rows.append(row)

    thread = threading.Thread(target=log)
    thread.start()
    try:
        yield rows
    finally:
        stopped.set()
        thread.join(_SECONDS)


@pytest.fixture(scope="module", autouse=True)
def _replays_are_forked_from_a_server() -> Iterator[None]:
    with replays_from_a_server():
        yield


def verified(sdk: Served, code: int, run: str = str(RUN), **environment: str) -> dict[str, Any]:
    """Return the report of `stepwell verify`, and check its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**service_environment(sdk), **environment}.items():
            patch.setenv(name, value)
        report = report_on(run, None)
    assert report.exit_code == code, report
    found: dict[str, Any] = json.loads(json.dumps(report.as_json()))
    return found


def service_environment(sdk: Served) -> dict[str, str]:
    """Return the environment variables of the service and the ingestors' group."""
    return {**sdk.environment, "STEPWELL_INGESTOR_GROUP": f"group-{sdk.environment['STEPWELL_EVENTS_TOPIC']}"}


def differences(report: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the differences: key, kind, `what`, and the values in journal, log and tables."""
    return [tuple(difference.values()) for difference in report["differences"]]


@pytest.fixture
def rich(sdk: Served) -> Served:
    """A service that has stored the run of `log_rich`."""
    log_rich(sdk)
    eventually(sdk.state, "finished")
    return sdk


def test_what_was_logged_is_the_same_everywhere(sdk: Served) -> None:
    log_rich(sdk, keep_journal=True)
    eventually(sdk.state, "finished")
    report = verified(sdk, 0)
    assert (report["verdict"], report["differences"], report["notes"]) == ("same", [], [])
    assert report["points"] == sum(sdk.count(view) for view in ("numbers", "strings", "bools", "others"))
    assert report["series"] == 9
    assert sdk.count("step_conflicts") == 1
    assert report["journals"] == 1
    elsewhere = verified(sdk, 0, STEPWELL_DIR=str(sdk.folder / "nowhere"))
    assert (elsewhere["verdict"], elsewhere["journals"]) == ("same", 0)


def test_each_difference_is_named(rich: Served) -> None:
    # Each kind of damage has keys of its own, so that one report has all of them.
    value = "INSERT INTO {db}.points_number SELECT * REPLACE ({bits:UInt64} AS bits, version + 1 AS version)"
    rich.store.command(f"{value} FROM {{db}}.points_number FINAL WHERE key = 'gap'", {"bits": 0x7FF8_0000_0000_0001})
    rich.store.command("DELETE FROM {db}.points_number WHERE key = 'loss' AND step = 100")
    rich.store.command("DELETE FROM {db}.points_string WHERE key = 'note'")
    twice = "(totals.end + 1, totals.last_step, totals.points * 2, 0, 0, 0, 0, 0, 0) AS totals"
    rich.store.command(
        f"INSERT INTO {{db}}.series SELECT * REPLACE ({twice}) FROM {{db}}.series FINAL WHERE key = 'ok'"
    )
    bucket = "SELECT * REPLACE (-0. AS min_value, 1000 AS version) FROM {db}.rollups WHERE key = 'ramp' AND bucket = 0"
    rich.store.command(f"INSERT INTO {{db}}.rollups {bucket}")
    rich.store.command("DELETE FROM {db}.rollups WHERE key = 'slope' AND bucket = 0")
    rich.store.command("DELETE FROM {db}.step_conflict_log WHERE run_id = 'run'")
    found = differences(verified(rich, 1))
    assert [(key, kind, what, journal) for key, kind, what, journal, _, _ in found] == [
        ("gap", "number", "steps, values or timestamps", None),
        ("loss", "number", "points", None),
        ("note", "string", "points", None),
        # The series was written twice at a step, so that the view `metrics` counts its rows.
        ("loss", "number", "count in metrics", None),
        ("note", "string", "count in metrics", None),
        ("ok", "bool", "count in metrics", None),
        ("ramp", "number", "what buckets of 128 steps say", None),
        ("slope", "number", "buckets of 128 steps", None),
        ("", "", "step conflicts", None),
    ]
    sides = {(key, what): (log, tables) for key, _, what, _, log, tables in found}
    for digest in (("gap", "steps, values or timestamps"), ("ramp", "what buckets of 128 steps say")):
        log, tables = sides.pop(digest)
        assert log != tables
    assert sides == {
        ("loss", "points"): (203, 202),
        ("note", "points"): (1, 0),
        ("loss", "count in metrics"): (203, 202),
        ("note", "count in metrics"): (1, 0),
        ("ok", "count in metrics"): (200, 400),
        ("slope", "buckets of 128 steps"): (2, 1),
        ("", "step conflicts"): (1, 0),
    }


def test_rows_of_a_journal_that_nobody_sends_are_named(rich: Served) -> None:
    rich.run(_KILLED, code=-signal.SIGKILL)
    (journal,) = rich.journals()
    session = journal.stem.rpartition("-")[2]
    report = verified(rich, 1)
    assert differences(report) == [
        ("", "", f"records of session {session}", 6, 0, None),
        ("late", "number", "points not sent", 5, None, None),
    ]


def test_a_run_that_logs_meanwhile_raises_no_alarm(sdk: Served) -> None:
    with logging_meanwhile(sdk) as rows:
        eventually(lambda: sdk.count("numbers") > 0, True)
        report = verified(sdk, 0)
        assert (report["verdict"], report["series"]) == ("same", 1)
        assert report["points"] > 0
    eventually(sdk.state, "finished")
    assert verified(sdk, 0)["points"] == rows[0]


def test_system_metrics_that_keep_coming_are_left_out_until_the_run_has_ended(
    sdk: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_QUIET_TRIES", 2)
    with logging_meanwhile(sdk, system_seconds=0.1, console="auto"):
        print("a line")
        eventually(lambda: len(sdk.numbers("system/memory")) > 5, True)
        # Counted before, since further samples arrive during the request.
        samples = len(sdk.numbers("system/memory"))
        report = verified(sdk, 0)
        assert (report["verdict"], report["series"]) == ("same", 1)
        assert report["points"] > samples
        assert any("system metrics" in note for note in report["notes"])
    eventually(sdk.state, "finished")
    whole = verified(sdk, 0)
    assert whole["verdict"] == "same"
    assert whole["series"] > 5


def test_records_of_an_open_session_are_a_note(rich: Served) -> None:
    with stepwell.init(id="run", mode="offline", settings={**rich.settings, "quiet": True}) as run:
        for row in range(100):
            run.log({"row": row})
        report = verified(rich, 0)
    assert report["journals"] == 1
    (note,) = report["notes"]
    assert "is still open" in note


@pytest.fixture
def alone(broker: str, topics: Topics, chdb_store: Store, tmp_path: Path) -> Iterator[Served]:
    """A service without an ingestor, which tests run when needed."""
    with serving(chdb_store) as url:
        environment = {
            "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": broker,
            "STEPWELL_EVENTS_TOPIC": topics.events,
            "STEPWELL_BASE_URL": url,
            "STEPWELL_DIR": str(tmp_path),
        }
        yield Served(chdb_store, environment, tmp_path)


def foreign(value: float, run: RunPath = RUN, **changes: Any) -> bytes:
    """Return a message of a producer without sequence numbers."""
    return encode(LogEvent(**run._asdict(), data={"f": value}, timestamp=int(value) * 1_000_000 + 999, **changes))


def ingest(sdk: Served, topics: Topics, points: int) -> None:
    """Run an ingestor until a number of points is stored."""
    settings = make_ingestor_settings(sdk.environment["STEPWELL_KAFKA_BOOTSTRAP_SERVERS"], topics)
    ingest_points(settings, sdk.store, points)


def sent(broker: str, topics: Topics, values: list[bytes], key: bytes = RUN.kafka_key) -> None:
    """Send messages."""
    asyncio.run(send(broker, topics.events, values, key))


def key_partition(broker: str, topics: Topics, key: bytes) -> int:
    """Return the partition of a key."""

    async def ask() -> int:
        async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
            return int((await producer.send_and_wait(topics.events, b"", key=key)).partition)

    return asyncio.run(ask())


def test_what_can_not_be_compared_says_why(alone: Served) -> None:
    assert "no run me/p/run" in verified(alone, 2)["reason"]
    assert "must have the form entity/project/run_id" in verified(alone, 2, "run")["reason"]
    away = {"STEPWELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
    assert "Kafka does not answer" in verified(alone, 2, **away)["reason"]
    assert "no Stepwell service answers" in verified(alone, 2, STEPWELL_BASE_URL="http://127.0.0.1:9")["reason"]


def test_a_foreign_writer_is_compared_and_what_is_behind_is_no_difference(
    broker: str, topics: Topics, alone: Served
) -> None:
    neighbour = RunPath("me", "p", "neighbour")
    # Its time is as many seconds after 1970 as its value, or before.
    values = [foreign(1), b"poison", foreign(-2), foreign(7, neighbour), foreign(3, step=0), foreign(4, step=9)]
    sent(broker, topics, values)
    assert "committed nothing" in verified(alone, 2)["reason"]
    ingest(alone, topics, 5)
    sent(broker, topics, [foreign(5), foreign(6), b"poison"])
    report = verified(alone, 0)
    assert (report["points"], report["series"]) == (4, 1)
    assert report["notes"] == [
        "not ingested yet: 2 events of the run, of 3 in its partition",
        "in the dead letters, wholly or partly: 1 event of the run",
        "stored with the time of the Kafka record: 1 time before 1970 or after 2255",
    ]


def test_a_run_that_its_producer_put_elsewhere_is_found(broker: str, topics: Topics, alone: Served) -> None:
    here = key_partition(broker, topics, RUN.kafka_key)
    other = next(key for key in map(str.encode, "abcdef") if key_partition(broker, topics, key) != here)
    sent(broker, topics, [foreign(1), foreign(2)], other)
    ingest(alone, topics, 2)
    assert verified(alone, 0)["points"] == 2
    sent(broker, topics, [foreign(3)])
    ingest(alone, topics, 3)
    assert "partitions 0, 1" in verified(alone, 2)["reason"]


def test_a_flush_that_is_under_way_raises_no_alarm(
    broker: str, topics: Topics, alone: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This one never ends, so that waiting for it is in vain.
    monkeypatch.setattr(runner, "_QUIET_TRIES", 2)
    sent(broker, topics, [foreign(1), foreign(2)])
    ingest(alone, topics, 2)
    sent(broker, topics, [foreign(3)])
    ingest(alone, topics, 3)
    # As after a crash of the last flush before its end: its rows are stored, its end is not committed.
    partition = TopicPartition(topics.events, key_partition(broker, topics, RUN.kafka_key))
    commit(broker, f"group-{topics.events}", partition, 2, "3")
    report = verified(alone, 0)
    assert report["points"] == 2
    assert "left out: steps from 2 on, which are being stored right now" in report["notes"]
    alone.store.command("DELETE FROM {db}.points_number WHERE step = 1")
    assert differences(verified(alone, 1)) == [
        ("f", "number", "points", None, 2, 1),
        ("f", "number", "last step", None, 1, 0),
    ]


def commit(broker: str, group: str, partition: TopicPartition, offset: int, plan: str) -> None:
    """Commit as an ingestor does."""

    async def run() -> None:
        async with AIOKafkaConsumer(bootstrap_servers=broker, group_id=group, enable_auto_commit=False) as consumer:
            consumer.assign([partition])
            await consumer.commit({partition: OffsetAndMetadata(offset, plan)})

    asyncio.run(run())


def test_a_log_without_its_beginning_is_compared_as_far_as_it_goes(broker: str, topics: Topics, alone: Served) -> None:
    sent(broker, topics, [foreign(value) for value in range(6)])
    ingest(alone, topics, 6)
    drop_before(broker, TopicPartition(topics.events, key_partition(broker, topics, RUN.kafka_key)), 4)
    report = verified(alone, 2)
    assert (report["points"], report["notes"], report["differences"]) == (2, [], [])
    assert "compared from step 4 on: no difference" in report["reason"]
    alone.store.command("DELETE FROM {db}.points_number WHERE step = 5")
    report = verified(alone, 2)
    assert report["notes"] == [
        "not comparable: f number points: 2 in the log from there on, 1 in the tables",
        "not comparable: f number last step: 5 in the log from there on, 4 in the tables",
    ]
    assert report["differences"] == []


def test_what_others_lost_makes_a_run_s_log_no_shorter(broker: str, topics: Topics, alone: Served) -> None:
    sent(broker, topics, [foreign(1, RunPath("me", "p", "earlier")), foreign(2), foreign(3)])
    ingest(alone, topics, 3)
    drop_before(broker, TopicPartition(topics.events, key_partition(broker, topics, RUN.kafka_key)), 1)
    report = verified(alone, 0)
    assert (report["points"], report["notes"]) == (2, [])


def test_a_log_that_is_gone_is_no_difference(broker: str, topics: Topics, alone: Served) -> None:
    sent(broker, topics, [foreign(1), foreign(2)])
    ingest(alone, topics, 2)
    drop_before(broker, TopicPartition(topics.events, key_partition(broker, topics, RUN.kafka_key)), 2)
    assert "no longer" in verified(alone, 2)["reason"]


def drop_before(broker: str, partition: TopicPartition, offset: int) -> None:
    """Delete the beginning of the log, as retention does."""

    async def drop() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker)
        await admin.start()
        try:
            await admin.delete_records({partition: RecordsToDelete(offset)})
        finally:
            await admin.close()

    asyncio.run(drop())


def test_tables_are_read_straight_where_the_environment_names_them(
    broker: str, topics: Topics, alone: Served, stack: Stack
) -> None:
    sent(broker, topics, [foreign(1), foreign(2)])
    ingest(alone, topics, 2)
    del alone.environment["STEPWELL_BASE_URL"]
    alone.environment["STEPWELL_CLICKHOUSE_DATABASE"] = alone.store.database
    assert verified(alone, 0, STEPWELL_CLICKHOUSE_DSN=stack.dsn("http"))["points"] == 2


def test_an_engine_of_its_own_is_read_beside_the_scratch_engine(
    broker: str, topics: Topics, alone: Served, tmp_path: Path
) -> None:
    script = """
import asyncio, sys
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import connect
from stepwell_schemas.migrations.runner import migrate

async def ingest(store):
    ingestor = Ingestor(IngestorSettings(), store)
    task = asyncio.create_task(ingestor.run())
    while not store.query("SELECT count() AS n FROM {db}.numbers").column("n")[0].as_py() == 2:
        await asyncio.sleep(0.1)
    await ingestor.stop()
    await task

with connect(sys.argv[1]) as store:
    migrate(store)
    asyncio.run(ingest(store))
"""
    sent(broker, topics, [foreign(1), foreign(2)])
    dsn = f"chdb://{tmp_path}/engine"
    del alone.environment["STEPWELL_BASE_URL"]
    alone.run(script, dsn, STEPWELL_INGESTOR_GROUP=f"group-{topics.events}")
    environment = {**os.environ, **service_environment(alone), "STEPWELL_CLICKHOUSE_DSN": dsn}
    done = start_stepwell("verify", str(RUN), "--json", environment=environment, folder=tmp_path / "verify").end(
        _SECONDS
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    report = json.loads(done.stdout)
    assert (report["verdict"], report["points"], report["series"]) == ("same", 2, 1)


def test_people_get_a_table(broker: str, topics: Topics, alone: Served) -> None:
    sent(broker, topics, [foreign(1), foreign(2)])
    ingest(alone, topics, 2)
    alone.store.command("DELETE FROM {db}.points_number WHERE step = 1")
    environment = {**service_environment(alone), "COLUMNS": "120"}
    done = run_stepwell("verify", str(RUN), environment=environment, code=1)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    assert not done.stderr
    assert lines[0] == ["key", "kind", "what", "differs", "in", "journal", "in", "log", "in", "tables"]
    assert lines[1] == ["f", "number", "points", "2", "1"]
    assert lines[2] == ["f", "number", "last", "step", "1", "0"]
    assert done.stdout.decode().splitlines()[-1] == "different: 2 differences between log and tables"
