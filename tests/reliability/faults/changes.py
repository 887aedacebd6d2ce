"""Changes of the environment of real processes, each with what must be stored after it.

`make soak` makes each of them once after its seeds. A run counts: the row at step n has the value n, so that a row that
is lost, stored twice or at a wrong step is seen by its value, its step, or the counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from reliability.faults.cluster import PARTITIONS, STEPWELL, Cluster, wait_until
from reliability.faults.harness import settled
from support.servers.topics import create_topics

Change = Callable[["Counting"], None]

_GROUP: Final = "stepwell-ingestor"
_ROWS: Final = 300
_FEW: Final = 10
_WAIT_SECONDS: Final = 120.0
_TMPFS: Final = "8m"
_LONG_ROW: Final = 4_000
_LONG_ROWS: Final = 6_000


class Counting:
    """One run that counts, on a cluster; `problems` are its differences.

    Attributes:
        rows: the number of rows that must be stored, at the steps 0, 1, 2, ….
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.rows = 0
        self.problems: list[str] = []
        self.folder = cluster.folder / name
        self.folder.mkdir()

    @property
    def journals(self) -> Path:
        """The folder of the run's journals."""
        return self.folder / "journals"

    def start(self, rows: int, *, pause_ms: int = 0, payload: int = 0, **environment: str) -> subprocess.Popen[str]:
        """Start a process that logs some rows."""
        command = [sys.executable, "-m", "reliability.faults.counting", self.name, *map(str, (rows, pause_ms, payload))]
        return subprocess.Popen(command, env=self._environment(environment), stdout=subprocess.PIPE, text=True)

    def log(self, rows: int, **options: Any) -> Mapping[str, Any]:
        """Log some rows in a process of its own; return its receipt."""
        receipt = self.end(self.start(rows, **options))
        self.rows += rows
        return receipt

    def end(self, process: subprocess.Popen[str]) -> Mapping[str, Any]:
        """Wait for a process; return its receipt."""
        while process.poll() is None:
            self.cluster.supervise()
            time.sleep(0.05)
        output = process.stdout.read() if process.stdout is not None else ""
        if process.returncode:
            self.problems.append(f"{self.name}: a training process ended with {process.returncode}")
        lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        return lines[-1] if lines else {}

    def sync(self) -> None:
        """Deliver what is left, as a user does."""
        command = [str(STEPWELL), "sync", str(self.folder)]
        subprocess.run(command, env=self._environment({}), capture_output=True, check=False)

    def wait_until_stored(self) -> None:
        """Wait until the ingestors have stored the whole log."""
        wait_until(
            lambda: settled(self.cluster.settings), self.cluster.supervise, _WAIT_SECONDS, "the end of ingestion"
        )

    def check(self) -> None:
        """Wait until every row is stored, and compare."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while (found := self._stored()) != self._wanted() and time.monotonic() < deadline:
            self.cluster.supervise()
            time.sleep(0.2)
        if found != self._wanted():
            self.problems.append(f"{self.name}: wanted {self._wanted()}, found {found}")

    def _wanted(self) -> dict[str, int]:
        return {"steps": self.rows, "right": self.rows, "cells": self.rows, "log_rows": self.rows}

    def _stored(self) -> dict[str, int]:
        where = {"run": self.name}
        with self.cluster.store() as store:
            (cells,) = store.query(
                "SELECT uniqExact(step) AS steps, countIf(step = value) AS right, count() AS cells FROM {db}.numbers"
                " WHERE run_id = {run:String} AND key = 'count'",
                where,
            ).to_pylist()
            counts = store.query("SELECT log_rows FROM {db}.runs WHERE run_id = {run:String}", where).to_pylist()
        return {**cells, "log_rows": counts[0]["log_rows"] if counts else 0}

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        own = {
            "STEPWELL_ENTITY": "faults",
            "STEPWELL_PROJECT": "changes",
            "STEPWELL_DIR": str(self.folder),
            "STEPWELL_SYSTEM_SECONDS": "0",
            "STEPWELL_CONSOLE": "off",
        }
        return {**os.environ, **self.cluster.environment, **own, **more}


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


def cut_journal(run: Counting) -> None:
    """Truncate the journal of an ended session; what is before the cut is delivered."""
    run.log(_ROWS, STEPWELL_MODE="offline")
    (journal,) = [path for path in run.journals.rglob("*") if path.is_file() and path.stat().st_size > _ROWS]
    run.rows = 0
    os.truncate(journal, _used_bytes(journal) // 2 + _used_bytes(journal) // 4)
    run.sync()
    run.wait_until_stored()
    stored = run._stored()
    if not 0 < stored["cells"] < _ROWS:
        run.problems.append(f"{run.name}: {stored['cells']} of {_ROWS} rows are stored")
    run.rows = stored["cells"]


def fill_disk(run: Counting) -> None:
    """Log more than a small file system holds, while everything is delivered."""
    with _small_disk(run.folder):
        receipt = run.log(_LONG_ROWS, payload=_LONG_ROW, pause_ms=2)
    if receipt.get("dropped"):
        run.problems.append(f"{run.name}: {receipt['dropped']} rows were dropped")


CHANGES: Final[Mapping[str, Change]] = {
    "ranks-recover": recover_in_two_ranks,
    "topic-recreated": recreate_topic,
    "offsets-reset": reset_offsets,
    "tables-removed": remove_tables,
    "tables-restored": restore_tables,
    "journal-cut": cut_journal,
    "disk-full": fill_disk,
}
"""The changes by name. Those that replace tables come after the others: they replace the tables of all runs."""


def make_change(cluster: Cluster, name: str) -> list[str]:
    """Make a change; return the differences. Raises: AssertionError when something does not arrive."""
    wait_until(lambda: _answers(cluster), cluster.supervise, _WAIT_SECONDS, "an answer of the service")
    run = Counting(cluster, name)
    CHANGES[name](run)
    run.check()
    return run.problems


def _answers(cluster: Cluster) -> bool:
    try:
        return httpx.get(f"{cluster.environment['STEPWELL_BASE_URL']}/readyz", timeout=2).is_success
    except httpx.HTTPError:
        return False


def _used_bytes(journal: Path) -> int:
    return len(journal.read_bytes().rstrip(b"\0"))


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


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_TMPFS}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


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
