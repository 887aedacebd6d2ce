"""The local broker: its log survives a restart, it ends with its parent, its topics are created once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from stepwell_deploy.errors import FolderInUseError, PortInUseError
from stepwell_deploy.local.data_dir import locked_folder
from stepwell_deploy.local.kafka import LocalKafka
from stepwell_deploy.ports import claim_port
from stepwell_schemas.limits import MAX_EVENT_BYTES
from stepwell_schemas.settings import KafkaSettings
from support.servers.topics import create_topics

_DEADLINE_SECONDS = 30.0


def test_the_log_outlives_a_restart_and_the_largest_event_fits(tmp_path: Path) -> None:
    largest = bytes(MAX_EVENT_BYTES)

    async def send(settings: KafkaSettings) -> list[str]:
        created = await create_topics(settings, 1)
        producer = AIOKafkaProducer(**settings.kafka_connection(), max_request_size=2 * MAX_EVENT_BYTES)
        async with producer:
            await producer.send_and_wait(settings.events_topic, largest)
        return created

    async def receive(settings: KafkaSettings) -> bytes:
        assert await create_topics(settings, 1) == []
        consumer = AIOKafkaConsumer(**settings.kafka_connection())
        async with consumer:
            partition = TopicPartition(settings.events_topic, 0)
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            value: bytes = (await consumer.getone()).value
            return value

    for number in range(2):
        broker = LocalKafka(tmp_path / "kafka")
        broker.start()
        try:
            settings = KafkaSettings(kafka_bootstrap_servers=broker.bootstrap_servers)
            if number == 0:
                assert asyncio.run(send(settings)) == ["stepwell.events", "stepwell.deadletters"]
            else:
                assert asyncio.run(receive(settings)) == largest
        finally:
            broker.stop()


def test_the_broker_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from stepwell_deploy.local.kafka import LocalKafka; "
        f"k = LocalKafka(pathlib.Path({str(tmp_path)!r})); k.start(); print(k.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        broker = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while _runs(broker):
        assert time.monotonic() < deadline, "the broker outlived its parent"
        os.sched_yield()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def test_a_folder_in_use_names_its_process(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path / "data"),
        pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}"),
        locked_folder(tmp_path / "data"),
    ):
        pytest.fail("two held one folder")
    with locked_folder(tmp_path / "data"):
        pass


def test_a_port_in_use_is_one_sentence(broker: str) -> None:
    host, _, port = broker.rpartition(":")
    with pytest.raises(PortInUseError, match=f"port {port} on {host} is in use by another program; use --port"):
        claim_port(host, int(port), "use --port")
    assert claim_port(host, 0, "") > 0
