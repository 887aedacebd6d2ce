"""`stepwell rebuild` with the real parts: tables that were damaged, emptied or restored become what the log says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

import stepwell
from stepwell_deploy.errors import RebuildError
from stepwell_deploy.rebuild import runner
from stepwell_deploy.rebuild.report import Outcome, RebuildReport
from stepwell_deploy.rebuild.runner import Progress, RebuildRequest, discard, rebuild
from stepwell_ingestor.errors import ReplayError, SwitchInterruptedError
from stepwell_ingestor.progress import WatchedIngestor
from stepwell_ingestor.rebuild.log_state import read_log_state
from stepwell_ingestor.rebuild.unfinished_switch import SUFFIX, refuse_interrupted_switch
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.access.audit import Action, AuditEntry, to_table
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.errors import StoreRejectedError
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent, RunFinished, RunStarted
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath
from support.readers.view_rows import VIEWS, Rows, view_rows
from support.servers.command import run_stepwell, start_stepwell
from support.servers.ingest import a_batch, counted, ingesting, make_ingestor_settings, send, until, until_committed
from support.servers.query import service_over
from support.servers.stack import Stack, Topics

pytestmark = pytest.mark.timeout(900)

RUN = RunPath("me", "p", "run")
OTHER = RunPath("me", "p", "other one")
_SECONDS = 300.0
_ROWS = 150
_SILENT = Progress(lambda _: None, lambda _: None)


@pytest.fixture
def settings(
    broker: str, topics: Topics, stack: Stack, chdb_store: Store, tmp_path: Path
) -> Iterator[IngestorSettings]:
    """The settings of the ingestor, and of the rebuild."""
    settings = make_ingestor_settings(
        broker,
        topics,
        clickhouse_dsn=stack.dsn("chdb"),
        clickhouse_database=chdb_store.database,
        media_url=str(tmp_path / "media"),
    )
    yield settings
    chdb_store.command(f"DROP DATABASE IF EXISTS `{chdb_store.database}{SUFFIX}` SYNC")


def batches(run: RunPath, first: int, count: int, rows: int = 10) -> list[bytes]:
    """Return batches of one session of a run."""
    return [encode(a_batch(first + place * rows, rows, **run._asdict())) for place in range(count)]


def ingest(settings: IngestorSettings, store: Store, values: dict[RunPath, list[bytes]], numbers: int) -> None:
    """Send events, and run an ingestor until a number of points is stored."""

    async def run() -> None:
        async with ingesting(settings, store):
            for path, messages in values.items():
                await send(settings.kafka_bootstrap_servers, settings.events_topic, messages, path.kafka_key)
            await until(counted(store, "numbers"), numbers)
            await until_committed(settings)

    asyncio.run(run())


@pytest.fixture
def stored(settings: IngestorSettings, chdb_store: Store) -> Rows:
    """Two runs with merges, a conflict, texts and dead letters, which an ingestor has stored; the rows of the views."""
    event = {"session": "e", "timestamp": 1_700_000_000_000_000}
    rich = [
        encode(
            RunStarted(**RUN._asdict(), session="e", sequence=0, timestamp=event["timestamp"], config='{"lr": 0.1}')
        ),
        encode(LogEvent(**RUN._asdict(), **event, sequence=1, data={"Loss": float("nan"), "note": "fünf"}, step=900)),
        encode(LogEvent(**RUN._asdict(), **event, sequence=2, data={"note": "merged", "ok": True}, step=900)),
        b"poison",
        encode(LogEvent(**RUN._asdict(), **event, sequence=3, data={"asked": 1.5}, step=7)),
    ]
    finished = [encode(RunFinished(**RUN._asdict(), session="e", sequence=4, timestamp=event["timestamp"]))]
    ingest(
        settings,
        chdb_store,
        {RUN: [*batches(RUN, 0, _ROWS // 15, 15), *rich, *finished], OTHER: batches(OTHER, 0, 5)},
        2 * _ROWS + 2 + 100,
    )
    return view_rows(chdb_store)


def rebuilt(settings: IngestorSettings, outcome: Outcome, **request: Any) -> RebuildReport:
    """Return the report of a rebuild, and check its outcome."""
    report = rebuild(RebuildRequest(**request), settings, _SILENT)
    assert report.outcome is outcome, report
    return report


def has_scratch(store: Store) -> bool:
    """Return True if the rebuild's database exists."""
    name = {"name": store.database + SUFFIX}
    return bool(store.query("SELECT name FROM system.databases WHERE name = {name:String}", name).num_rows)


def damage(store: Store) -> None:
    """Delete values of one run, and change some of the other."""
    store.command("DELETE FROM {db}.points_number WHERE run_id = 'run' AND step BETWEEN 50 AND 59")
    store.command(
        "INSERT INTO {db}.points_number SELECT * REPLACE (toUInt64(0) AS bits, version + 1 AS version)"
        " FROM {db}.points_number FINAL WHERE run_id = 'other one' AND step < 5"
    )


def empty(store: Store) -> None:
    """Remove all rows, as if the tables had been recreated."""
    names = store.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
        " AND name NOT IN ('schema_migrations')"
    ).column("name")
    for name in names.to_pylist():
        store.command(f"TRUNCATE TABLE {{db}}.`{name}` SYNC")


@contextmanager
def read_again_after_a_switch(store: Store) -> Iterator[None]:
    """Check that a view has the repaired values after the block, which switches, with the tag of a damaged one too."""

    def views(tag: str | None = None) -> tuple[str, list[float]]:
        headers = {} if tag is None else {"if-none-match": tag}
        answer = asyncio.run(service.get(RUN, "series", key="a", points=1_000, headers=headers))
        assert answer.status_code == 200, answer.text
        (series,) = answer.json()["series"]
        return answer.headers["etag"], series["value"]

    with service_over(store, query_cache_bytes=64 * MIB) as service:
        tag, damaged = views()
        yield
        again, repaired = views(tag)
        assert again != tag
        assert (len(damaged), len(repaired)) == (_ROWS - 10, _ROWS)
        same = asyncio.run(service.get(RUN, "series", key="a", points=1_000, headers={"if-none-match": again}))
        assert same.status_code == 304


def test_damage_is_counted_and_repaired_with_a_switch(
    settings: IngestorSettings, stored: Rows, chdb_store: Store
) -> None:
    damage(chdb_store)
    chdb_store.insert("audit_events", to_table([AuditEntry(Action.SIGN_IN, "ann")], 0))
    damaged = view_rows(chdb_store)
    report = rebuilt(settings, Outcome.DIFFERENT)
    assert [(one.run, one.lost, one.gained, one.changed) for one in report.differences] == [
        # Of ten values, two were 0 before.
        (str(OTHER), 0, 0, 8),
        (str(RUN), 0, 20, 0),
    ]
    assert view_rows(chdb_store) == damaged
    # The rebuilt tables are kept, so that the switch reads nothing again.
    with read_again_after_a_switch(chdb_store):
        assert rebuilt(settings, Outcome.SWITCHED, switch=True).events == 0
    assert view_rows(chdb_store) == stored
    # The audit log does not follow from the log of events.
    assert chdb_store.query("SELECT actor FROM {db}.audit").column("actor").to_pylist() == ["ann"]
    with pytest.raises(RebuildError):
        rebuild(RebuildRequest(), settings, _SILENT)
    discard(settings)
    assert not has_scratch(chdb_store)
    ingest(settings, chdb_store, {OTHER: batches(OTHER, 50, 5)}, len(stored["numbers"]) + 100)
    rebuilt(settings, Outcome.SAME)


def test_equal_tables_are_the_same_and_empty_ones_are_filled(
    settings: IngestorSettings, stored: Rows, chdb_store: Store
) -> None:
    report = rebuilt(settings, Outcome.SAME, switch=True)
    assert (report.runs, report.points) == (2, sum(len(stored[view]) for view in VIEWS[:5]))
    assert report.dead_letters == 1
    assert sum(part.last for part in report.log) == report.events
    assert view_rows(chdb_store) == stored
    assert not has_scratch(chdb_store)
    empty(chdb_store)
    report = rebuilt(settings, Outcome.SWITCHED, switch=True)
    assert sum(one.gained for one in report.differences) == report.points
    assert view_rows(chdb_store) == stored
    ingest(settings, chdb_store, {OTHER: batches(OTHER, 50, 5)}, len(stored["numbers"]) + 100)


def test_tables_are_not_replaced_by_less(
    settings: IngestorSettings, stored: Rows, chdb_store: Store, broker: str
) -> None:
    partition = next(log for log in asyncio.run(read_log_state(settings)).partitions if log.end > 10)
    # A later offset leaves out what is before it.
    report = rebuilt(settings, Outcome.REFUSED, since={partition.partition: 3}, switch=True)
    assert [part.skipped for part in report.log if part.partition == partition.partition] == [3]
    assert view_rows(chdb_store) == stored
    with pytest.raises(ReplayError):
        rebuild(RebuildRequest(since={partition.partition: partition.end + 1}), settings, _SILENT)

    async def remove() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker)
        await admin.start()
        await admin.delete_records({TopicPartition(settings.events_topic, partition.partition): RecordsToDelete(5)})
        await admin.close()

    asyncio.run(remove())
    report = rebuilt(settings, Outcome.REFUSED, switch=True)
    assert [part.removed for part in report.log if part.partition == partition.partition] == [5]
    assert any(one.fewer and one.lost for one in report.differences)
    assert view_rows(chdb_store) == stored
    rebuilt(settings, Outcome.SWITCHED, switch=True, accept_loss=True)
    assert len(view_rows(chdb_store)["numbers"]) < len(stored["numbers"])


def test_one_run_is_replaced_and_the_others_stay(settings: IngestorSettings, stored: Rows, chdb_store: Store) -> None:
    damage(chdb_store)
    damaged = view_rows(chdb_store)
    with read_again_after_a_switch(chdb_store):
        report = rebuilt(settings, Outcome.SWITCHED, run=RUN, switch=True)
    assert (report.runs, [one.run for one in report.differences]) == (1, [str(RUN)])
    now = view_rows(chdb_store)
    for view in VIEWS:
        assert rows_of(now[view], RUN) == rows_of(stored[view], RUN)
        assert rows_of(now[view], OTHER) == rows_of(damaged[view], OTHER)
    assert not has_scratch(chdb_store)
    # Twice: what was deleted and inserted once may be inserted again.
    chdb_store.command("DELETE FROM {db}.points_string WHERE run_id = 'run'")
    rebuilt(settings, Outcome.SWITCHED, run=RUN, switch=True)
    assert rows_of(view_rows(chdb_store)["strings"], RUN) == rows_of(stored["strings"], RUN)
    ingest(settings, chdb_store, {RUN: batches(RUN, _ROWS, 5)}, len(stored["numbers"]) + 100)
    rebuilt(settings, Outcome.SAME, run=RUN)


def rows_of(rows: list[dict[str, Any]], run: RunPath) -> list[dict[str, Any]]:
    return [row for row in rows if row["run_id"] == repr(run.run_id)]


def test_an_interrupted_switch_is_completed_by_the_next_call(
    settings: IngestorSettings, stored: Rows, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(chdb_store)
    command = Store.command
    exchanged = 0

    def interrupted(store: Store, sql: str, parameters: Any = None) -> None:
        nonlocal exchanged
        if sql.startswith("EXCHANGE"):
            if exchanged == 3:
                raise StoreRejectedError("killed")
            exchanged += 1
        command(store, sql, parameters)

    monkeypatch.setattr(Store, "command", interrupted)
    with pytest.raises(StoreRejectedError):
        rebuild(RebuildRequest(switch=True), settings, _SILENT)
    monkeypatch.setattr(Store, "command", command)
    rebuilt(settings, Outcome.SWITCHED, switch=True)
    assert view_rows(chdb_store) == stored


async def start(settings: IngestorSettings, store: Store) -> None:
    """Run an ingestor until it ends by an error."""
    await asyncio.wait_for(WatchedIngestor(settings, store).run(), _SECONDS)


def test_an_interrupted_switch_of_one_run_is_completed_before_an_ingestor_begins(
    settings: IngestorSettings, stored: Rows, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(chdb_store)
    command = Store.command
    deleted = 0

    def killed_between_delete_and_copy(store: Store, sql: str, parameters: Any = None) -> None:
        nonlocal deleted
        if sql.startswith("INSERT") and deleted == 3:
            raise StoreRejectedError("killed")
        deleted += sql.startswith("DELETE")
        command(store, sql, parameters)

    monkeypatch.setattr(Store, "command", killed_between_delete_and_copy)
    with pytest.raises(StoreRejectedError):
        rebuild(RebuildRequest(RUN, switch=True), settings, _SILENT)
    monkeypatch.setattr(Store, "command", command)
    with pytest.raises(SwitchInterruptedError):
        asyncio.run(start(settings, chdb_store))
    # Whatever is requested: the switch comes first.
    rebuilt(settings, Outcome.SWITCHED)
    assert rows_of(view_rows(chdb_store)["numbers"], RUN) == rows_of(stored["numbers"], RUN)
    refuse_interrupted_switch(chdb_store)


def test_a_replay_continues_where_it_was_interrupted(
    settings: IngestorSettings, stored: Rows, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Flushes of one event, and a failure after some inserts: each call ends in the middle of a flush.
    damage(chdb_store)
    small = settings.model_copy(update={"ingestor_flush_bytes": 1})
    insert: Callable[..., None] = Store.insert
    left = 0

    def failing(store: Store, table: str, rows: Any, token: str | None = None) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreRejectedError("killed")
        insert(store, table, rows, token)

    monkeypatch.setattr(Store, "insert", failing)
    failures = 0
    for _ in range(20):
        left = 60
        try:
            report = rebuild(RebuildRequest(switch=True), small, _SILENT)
            break
        except StoreRejectedError:
            failures += 1
    else:
        pytest.fail("the rebuild made no progress")
    assert failures > 1
    assert report.outcome is Outcome.SWITCHED
    monkeypatch.setattr(Store, "insert", insert)
    assert view_rows(chdb_store) == stored


def test_a_flush_that_was_planned_is_repeated_once(
    settings: IngestorSettings, stored: Rows, chdb_store: Store, broker: str
) -> None:
    # As after a crash of the last flush before its end: its rows are stored, its end is not committed.
    logs = [log for log in asyncio.run(read_log_state(settings)).partitions if log.end > 3]

    async def commit() -> None:
        plans = {
            TopicPartition(settings.events_topic, log.partition): OffsetAndMetadata(log.end - 3, str(log.end))
            for log in logs
        }
        # An automatic commit at the consumer's end would replace the plans.
        consumer = AIOKafkaConsumer(
            bootstrap_servers=broker, group_id=settings.ingestor_group, enable_auto_commit=False
        )
        async with consumer:
            consumer.assign(list(plans))
            await consumer.commit(plans)

    asyncio.run(commit())
    damage(chdb_store)
    with pytest.raises(RebuildError):
        rebuild(RebuildRequest(run=RUN), settings, _SILENT)
    report = rebuilt(settings, Outcome.SWITCHED, switch=True)
    ends = {log.partition: log.end for log in logs}
    assert {part.partition: part.last for part in report.log if part.partition in ends} == ends
    assert view_rows(chdb_store) == stored
    ingest(settings, chdb_store, {OTHER: batches(OTHER, 50, 5)}, len(stored["numbers"]) + 100)
    discard(settings)
    rebuilt(settings, Outcome.SAME)


def test_ingestors_must_not_run_while_the_tables_are_compared(
    settings: IngestorSettings, stored: Rows, chdb_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_GROUP_EXTRA_SECONDS", 0)
    impatient = settings.model_copy(update={"ingestor_session_seconds": 0.1})

    async def meanwhile() -> RebuildReport:
        async with ingesting(settings, chdb_store):
            await until(lambda: asyncio.run(read_log_state(settings)).members, 1)
            return await asyncio.to_thread(rebuild, RebuildRequest(switch=True), impatient, _SILENT)

    report = asyncio.run(meanwhile())
    assert (report.outcome, report.exit_code) == (Outcome.NOT_COMPARABLE, 2)
    assert report.events > 0
    # What was replayed is there.
    assert rebuilt(settings, Outcome.SAME).events == 0
    assert view_rows(chdb_store) == stored


def command_environment(settings: IngestorSettings, dsn: str) -> dict[str, str]:
    """Return the environment of a command that rebuilds what the test's ingestor has stored."""
    return {
        **os.environ,
        "STEPWELL_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        "STEPWELL_EVENTS_TOPIC": settings.events_topic,
        "STEPWELL_INGESTOR_GROUP": settings.ingestor_group,
        "STEPWELL_CLICKHOUSE_DSN": dsn,
        "STEPWELL_CLICKHOUSE_DATABASE": settings.clickhouse_database,
        "STEPWELL_MEDIA_URL": settings.media_url,
    }


def has_scratch_points(store: Store) -> bool:
    """Return True if the rebuilt tables have points."""
    parts = "SELECT name FROM system.parts WHERE active AND database = {name:String} AND table LIKE 'points_number%'"
    return bool(store.query(parts, {"name": store.database + SUFFIX}).num_rows)


def table_ids(store: Store) -> list[str]:
    """Return the identities of the tables, which a switch exchanges one after the other."""
    tables = "SELECT toString(uuid) AS id FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    ids: list[str] = store.query(tables).column("id").to_pylist()
    return ids


def test_the_command_is_killed_at_any_time_and_started_again(
    settings: IngestorSettings, stored: Rows, chdb_store: Store, stack: Stack, tmp_path: Path
) -> None:
    damage(chdb_store)
    given: dict[str, Any] = {
        "environment": command_environment(settings, stack.dsn("http")),
        "folder": tmp_path / "out",
    }
    arguments = ("rebuild", "--switch", "--json")
    before = table_ids(chdb_store)
    # While it creates its tables, when it has replayed a part at least, and when it has begun to switch.
    stages: list[Callable[[], bool]] = [
        lambda: has_scratch(chdb_store),
        lambda: has_scratch_points(chdb_store),
        lambda: table_ids(chdb_store) != before,
    ]
    for reached in stages:
        killed = start_stepwell(*arguments, **given)
        while not reached():
            assert killed.process.poll() is None or reached(), killed.err.read_text()
            time.sleep(0.005)
        killed.kill()
    done = start_stepwell(*arguments, **given).end(_SECONDS)
    # One that was killed may have replaced the tables; then the database has the tables from before.
    if done.returncode == 2:
        assert "--discard" in json.loads(done.stdout)["reason"], done.stderr
    else:
        assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "switched"), done.stderr
    assert view_rows(chdb_store) == stored


def test_the_folder_of_a_stopped_stack_is_rebuilt(tmp_path: Path) -> None:
    folder = str(tmp_path / "up")
    environment = {**os.environ, "STEPWELL_KAFKA_HEAP_MB": "256", "STEPWELL_DISK_RESERVE_BYTES": "0"}
    up = start_stepwell("up", "--dir", folder, "--port", "0", environment=environment, folder=tmp_path / "output")
    try:
        while not (url := re.search(r"^ready (\S+)\n", up.out.read_text(), re.MULTILINE)):
            assert up.process.poll() is None, up.err.read_text()
            time.sleep(0.1)
        settings = {"base_url": url[1], "dir": str(tmp_path / "journals"), "quiet": True}
        with stepwell.init(entity="me", project="p", id="run", settings=settings) as run:
            for row in range(100):
                run.log({"loss": row / 7})
        busy = run_stepwell("rebuild", "--dir", folder, "--json", environment={}, code=2)
        assert str(up.process.pid) in json.loads(busy.stdout)["reason"]
        up.process.terminate()
        assert up.end(_SECONDS).returncode == 0
    finally:
        up.kill()
    line = ("rebuild", "--dir", folder, "--json")
    done = start_stepwell(*line, environment=environment, folder=tmp_path / "rebuild").end(_SECONDS)
    report = json.loads(done.stdout)
    assert (done.returncode, report["outcome"], report["runs"], report["points"]) == (0, "same", 1, 100), done.stderr


def test_the_command_says_why_it_can_not(settings: IngestorSettings, stack: Stack) -> None:
    environment = command_environment(settings, stack.dsn("http"))
    done = run_stepwell("rebuild", "me/p", "--json", environment=environment, code=2)
    assert json.loads(done.stdout)["outcome"] == "not comparable"
