"""Delivery rate of one process to a real broker at 50 metrics a step, `log()` included, next to Kafka's own producer.

The anchor sends the events that the SDK wrote, read from the topic, to a topic of its own, with the same options, and
does nothing else. Both run in this process.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console

import stepwell
from bench.figure import Figure, make_table
from stepwell_deploy.local.kafka import LocalKafka
from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from stepwell_schemas.settings import DEFAULT_COMPRESSION, KafkaSettings
from support.servers.topics import create_topics

_METRICS: Final = 50
_ROWS: Final = 100_000
_DISTINCT_ROWS: Final = 10_000
_POINTS: Final = _ROWS * _METRICS
_AGAIN: Final = "again"
"""The topic that the anchor writes to."""


def figures() -> Iterator[Figure]:
    """Measure both ways, from the first call to the last acknowledgement."""
    with tempfile.TemporaryDirectory() as folder:
        kafka = LocalKafka(Path(folder) / "kafka")
        kafka.start()
        try:
            os.environ["STEPWELL_KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
            settings = KafkaSettings()
            asyncio.run(create_topics(settings, 1))
            again = settings.model_copy(update={"events_topic": _AGAIN, "deadletters_topic": f"{_AGAIN}-dead"})
            asyncio.run(create_topics(again, 1))
            own, own_processor = _log(Path(folder))
            plain, plain_processor = asyncio.run(_send_again(settings))
        finally:
            kafka.stop()
    name, anchor = "SDK to Kafka, one process, 50 metrics", "aiokafka sends the same events"
    rates = [_POINTS / seconds / 1e6 for seconds in (own, plain, own_processor, plain_processor)]
    yield Figure(name, "M points/s", rates[0], anchor, rates[1], "clock", rate=True)
    yield Figure(
        f"{name}, a second of processor time", "M points/s", rates[2], anchor, rates[3], "processor", rate=True
    )


def _log(folder: Path) -> tuple[float, float]:
    """Return the seconds by the clock, and of processor time, until all rows are acknowledged."""
    keys = [f"metric_{number}" for number in range(_METRICS)]
    noise = np.random.default_rng(0).normal(size=(_DISTINCT_ROWS, _METRICS)).tolist()
    rows = [dict(zip(keys, values, strict=True)) for values in noise]
    run = stepwell.init(project="bench", dir=folder, mode="online", settings={"system_seconds": 0, "console": "off"})
    began, worked = time.perf_counter(), time.process_time()
    for number in range(_ROWS):
        run.log(rows[number % _DISTINCT_ROWS])
    receipt = run.finish(quiet=True, timeout=600)
    if receipt is None or receipt.pending:
        raise SystemExit(f"not all rows were delivered: {receipt}")
    return time.perf_counter() - began, time.process_time() - worked


async def _send_again(settings: KafkaSettings) -> tuple[float, float]:
    """Send all events of the topic to another one; return the seconds as `_log` does."""
    events = await _read(settings)
    async with AIOKafkaProducer(
        **settings.kafka_connection(),
        acks="all",
        enable_idempotence=True,
        compression_type=DEFAULT_COMPRESSION,
        max_request_size=MAX_EVENT_BYTES + MIB,
        max_batch_size=MIB,
    ) as producer:
        began, worked = time.perf_counter(), time.process_time()
        sent = [await producer.send(_AGAIN, value, key, partition=0) for key, value in events]
        await asyncio.gather(*sent)
        return time.perf_counter() - began, time.process_time() - worked


async def _read(settings: KafkaSettings) -> list[tuple[bytes | None, bytes]]:
    place = TopicPartition(settings.events_topic, 0)
    async with AIOKafkaConsumer(**settings.kafka_connection(), auto_offset_reset="earliest") as consumer:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        events: list[tuple[bytes | None, bytes]] = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                events += [(record.key, record.value) for record in records]
    return events


def main() -> None:
    """Print the figures."""
    Console(width=170).print(make_table(list(figures())))


if __name__ == "__main__":
    main()
