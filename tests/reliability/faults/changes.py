"""Changes of the environment of real processes, each with what must be stored after it.

`make soak` makes each of them once after its seeds.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from reliability.faults.cluster import PARTITIONS, Cluster, wait_until
from reliability.faults.counted_run import WAIT_SECONDS, Counting
from reliability.faults.journal_changes import JOURNAL_CHANGES
from support.servers.topics import create_topics

_GROUP: Final = "stepwell-ingestor"
_ROWS: Final = 300
_FEW: Final = 10
_MOVED_ROWS: Final = 2_000


def recover_in_two_ranks(run: Counting) -> None:
    """Let two processes of one run recover at the same time what three sessions before have left."""
    for _ in range(3):
        run.log(_ROWS, STEPWELL_MODE="offline")
    for rank in [run.start(0) for _ in range(2)]:
        run.end(rank)


def recreate_topic(run: Counting) -> None:
    """Delete the topic and create it again, between two sessions."""
    run.log(_ROWS)
    run.wait_until_stored()
    asyncio.run(_recreate(run.cluster))
    run.log(_ROWS)


def reset_offsets(run: Counting) -> None:
    """Set the group's offsets to the beginning of the log."""
    run.log(_ROWS)
    run.wait_until_stored()
    with _without_ingestors(run.cluster):
        asyncio.run(_reset_offsets(run.cluster))
    run.log(_FEW)


def remove_tables(run: Counting) -> None:
    """Remove the engine's folder while it is down."""
    run.log(_ROWS)
    run.wait_until_stored()
    with _without_engine(run.cluster) as folder:
        shutil.rmtree(folder)
    # Its tables are made again before the next session asks for its step.
    run.check()
    run.log(_FEW)


def restore_tables(run: Counting) -> None:
    """Replace the engine's folder by an older copy while it is down."""
    run.log(_ROWS)
    run.wait_until_stored()
    copy = run.folder / "copy"
    with _without_engine(run.cluster) as folder:
        shutil.copytree(folder, copy, symlinks=True)
    run.log(_ROWS)
    run.wait_until_stored()
    with _without_engine(run.cluster) as folder:
        shutil.rmtree(folder)
        shutil.copytree(copy, folder, symlinks=True)
    run.check()
    run.log(_FEW)


def move_broker(run: Counting) -> None:
    """Kill everything while a process logs, and start it again with another broker port; then once more."""
    process = run.start(_MOVED_ROWS, pause_ms=5, STEPWELL_KAFKA_BOOTSTRAP_SERVERS="")
    for _ in range(2):
        run.wait_until(partial(_has_more_rows, run, process, run.stored()["cells"]), "a row")
        run.cluster.kill_all()
        run.cluster.move_broker()
        run.cluster.supervise()
    if (pending := run.end(process).get("pending")) != 0:
        run.note(f"{pending} records are pending")
    run.rows += _MOVED_ROWS


def add_partitions(run: Counting) -> None:
    """Add partitions to the topic: nothing more is stored from it; then use another topic, as documented."""
    cluster = run.cluster
    run.log(_ROWS)
    run.wait_until_stored()
    event = "partitions_added"
    before = [ingestor.count_logged(event) for ingestor in cluster.ingestors]
    asyncio.run(_add_partitions(cluster))
    run.wait_until(
        lambda: all(one.count_logged(event) > count for one, count in zip(cluster.ingestors, before, strict=True)),
        "the alarm of the ingestors",
    )
    run.check()
    cluster.use_topic(f"{cluster.settings.events_topic}.more")
    run.log(_ROWS)


CHANGES: Final[Mapping[str, Callable[[Counting], None]]] = {
    "ranks-recover": recover_in_two_ranks,
    "broker-moved": move_broker,
    "topic-recreated": recreate_topic,
    "offsets-reset": reset_offsets,
    "partitions-added": add_partitions,
    **JOURNAL_CHANGES,
    "tables-removed": remove_tables,
    "tables-restored": restore_tables,
}
"""The changes by name. Those that replace tables come after the others: they replace the tables of all runs."""


def make_change(cluster: Cluster, name: str) -> list[str]:
    """Make a change; return the differences. Raises: AssertionError when something does not arrive."""
    wait_until(lambda: _answers(cluster), cluster.supervise, WAIT_SECONDS, "an answer of the service")
    run = Counting(cluster, name)
    CHANGES[name](run)
    run.check()
    return run.problems


def _has_more_rows(run: Counting, process: subprocess.Popen[str], before: int) -> bool:
    """Return whether a process has stored more rows, or will store no more."""
    return process.poll() is not None or run.stored()["cells"] > before


def _answers(cluster: Cluster) -> bool:
    try:
        return httpx.get(f"{cluster.environment['STEPWELL_BASE_URL']}/readyz", timeout=2).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def _without_ingestors(cluster: Cluster) -> Iterator[None]:
    for ingestor in cluster.ingestors:
        ingestor.stop()
    try:
        yield
    finally:
        cluster.supervise()


@contextmanager
def _without_engine(cluster: Cluster) -> Iterator[Path]:
    """Kill the engine for the block; yield its folder."""
    cluster.engine.kill(time.monotonic(), 0.0)
    try:
        yield cluster.folder / "engine"
    finally:
        cluster.supervise()
        cluster.store().close()


async def _add_partitions(cluster: Cluster) -> None:
    admin = AIOKafkaAdminClient(**cluster.settings.kafka_connection())
    await admin.start()
    try:
        await admin.create_partitions({cluster.settings.events_topic: NewPartitions(2 * PARTITIONS)})
    finally:
        await admin.close()


async def _recreate(cluster: Cluster) -> None:
    admin = AIOKafkaAdminClient(**cluster.settings.kafka_connection())
    await admin.start()
    try:
        await admin.delete_topics([cluster.settings.events_topic])
    finally:
        await admin.close()
    # The broker removes the topic after its answer.
    while not await create_topics(cluster.settings, PARTITIONS):
        continue


async def _reset_offsets(cluster: Cluster) -> None:
    partitions = [TopicPartition(cluster.settings.events_topic, number) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(**cluster.settings.kafka_connection(), group_id=_GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(partitions)
        await consumer.commit(dict.fromkeys(partitions, 0))
    finally:
        await consumer.stop()
