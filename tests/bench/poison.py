"""Cost of invalid events for valid ones: valid events alone, and the same ones among as many dead letters.

Both logs wait in Kafka, with valid events of the SDK's usual size; an ingestor with the default settings then stores
them. The time until all events are settled, including the delivery of dead letters, is measured in turns, each with an
empty database. The CPU time is also valid on a machine with other work, but excludes waiting for the broker.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from aiokafka import AIOKafkaProducer

from stepwell_deploy.local.kafka import LocalKafka
from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store, connect
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import Block, LogBatch, LogEvent
from stepwell_schemas.limits import MAX_EVENT_BYTES
from stepwell_schemas.migrations.runner import migrate
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind
from support.servers.topics import create_topics

_PATH = RunPath("bench", "poison", "run")
_KEYS = [f"train/metric_{number:02d}" for number in range(50)]
_ROWS = 2_500
_GOOD = 40
_POINTS = _GOOD * _ROWS * len(_KEYS)
_FLOODS = (1, 100)
_TURNS = 7
_GOAL = 1.1
_POLL_SECONDS = 0.005


def good_events() -> list[bytes]:
    """Return batches of 2,500 rows of 50 metrics, as the SDK sends them from a full journal."""
    random = np.random.default_rng(0)
    encoded = []
    for number in range(_GOOD):
        start = number * _ROWS
        batch = LogBatch(
            **_PATH._asdict(),
            session="s",
            sequence=start,
            rows=_ROWS,
            timestamps=(1_700_000_000_000_000 + np.arange(start, start + _ROWS) * 2_000).astype("<i8").tobytes(),
            blocks=[Block(kind=Kind.NUMBER, keys=_KEYS, packed=random.normal(size=_ROWS * len(_KEYS)).tobytes())],
        )
        encoded.append(encode(batch))
    return encoded


def poison() -> list[bytes]:
    """Return one message of each unusable kind."""
    event = LogEvent(**_PATH._asdict(), data={f"metric_{number}": float(number) for number in range(10)})
    whole = encode(event)
    return [
        bytes(500),
        b'{"loss": 0.5, "step": 3}',
        whole[:-5],
        whole[:2] + bytes(8) + whole[10:],
        encode(event.model_copy(update={"entity": "a/b"})),
        encode(event.model_copy(update={"step": 2**63 - 1})),
        encode(event.model_copy(update={"data": {"": 1.0}})),
    ]


def mixed(good: list[bytes], flood: int) -> list[bytes]:
    """Return valid events with `flood` invalid messages before each."""
    kinds = poison()
    return [
        value
        for number, event in enumerate(good)
        for value in (*(kinds[(number * flood + one) % len(kinds)] for one in range(flood)), event)
    ]


def main() -> None:
    """Print the rates of valid events, and the slowdown by invalid ones."""
    good = good_events()
    with tempfile.TemporaryDirectory() as folder:
        kafka = LocalKafka(Path(folder) / "kafka")
        kafka.start()
        store = connect(f"chdb://{folder}/engine", "bench")
        try:
            logs = {0: good} | {flood: mixed(good, flood) for flood in _FLOODS}
            seconds = asyncio.run(_measure(kafka.bootstrap_servers, store, logs))
        finally:
            store.close()
            kafka.stop()
    alone = statistics.median(wall for wall, _ in seconds[0])
    print(f"{_GOOD} good events of {_ROWS * len(_KEYS):,} points, median of {_TURNS} turns")
    print(f"alone                       {_POINTS / alone / 1e6:5.2f} M points/s")
    for flood in _FLOODS:
        taken = statistics.median(wall for wall, _ in seconds[flood])
        # Compared turn by turn, since other load of the machine changes more between turns than within one.
        pairs = list(zip(seconds[flood], seconds[0], strict=True))
        slower = statistics.median(among[0] / apart[0] for among, apart in pairs)
        work = statistics.median(among[1] / apart[1] for among, apart in pairs)
        goal = f"  (to reach: {_GOAL:g} at most)" if flood == 1 else ""
        rate = f"{_POINTS / taken / 1e6:5.2f} M points/s, {_GOOD * flood / taken:7,.0f} dead letters/s"
        print(f"among {flood:3} as many poison     {rate}, time x {slower:.2f}, processor x {work:.2f}{goal}")


async def _measure(broker: str, store: Store, logs: dict[int, list[bytes]]) -> dict[int, list[tuple[float, float]]]:
    """Return each log's seconds and processor seconds, turn by turn.

    The first turn includes imports and cold caches, and is left out. The turns alternate in their first log, since
    pending work of ClickHouse slows down the next log.
    """
    settings = {}
    for flood, values in logs.items():
        settings[flood] = IngestorSettings(
            kafka_bootstrap_servers=broker, events_topic=f"events-{flood}", deadletters_topic=f"deadletters-{flood}"
        )
        await create_topics(settings[flood], 1)
        async with AIOKafkaProducer(bootstrap_servers=broker, max_request_size=MAX_EVENT_BYTES) as producer:
            sent = [await producer.send(f"events-{flood}", value, key=_PATH.kafka_key) for value in values]
            await asyncio.gather(*sent)
    seconds: dict[int, list[tuple[float, float]]] = {flood: [] for flood in logs}
    for turn in range(_TURNS + 1):
        floods = list(logs)
        first = turn % len(floods)
        for flood in floods[first:] + floods[:first]:
            group = {"ingestor_group": f"turn-{turn}-{flood}"}
            taken = await _ingest(settings[flood].model_copy(update=group), store)
            if turn:
                seconds[flood].append(taken)
    return seconds


async def _ingest(settings: IngestorSettings, store: Store) -> tuple[float, float]:
    """Return the wall and CPU seconds from the first event read until none is left."""
    store.command("DROP DATABASE IF EXISTS {db} SYNC")
    await asyncio.to_thread(migrate, store)
    ingestor = Ingestor(settings, store)
    running = asyncio.create_task(ingestor.run())
    await _until(running, lambda: ingestor.status().buffered_bytes > 0)
    began, worked = time.perf_counter(), time.process_time()
    await _until(running, lambda: ingestor.status().buffered_bytes + ingestor.status().lag_events == 0)
    taken = time.perf_counter() - began, time.process_time() - worked
    await ingestor.stop()
    await running
    newest = "SELECT argMax(totals.points, totals.end) AS points FROM {db}.session_activity GROUP BY session"
    points = store.query(f"SELECT sum(points) AS n FROM ({newest})").column("n")[0].as_py()
    if points != _POINTS:
        raise SystemExit(f"{points:,} points are stored where {_POINTS:,} were sent")
    return taken


async def _until(running: asyncio.Task[None], holds: Callable[[], bool]) -> None:
    while not holds():
        if running.done():
            running.result()
        await asyncio.sleep(_POLL_SECONDS)


if __name__ == "__main__":
    main()
