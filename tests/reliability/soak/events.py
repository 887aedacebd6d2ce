"""A soak of one ingestor: random mutations of valid events from a seed, and good events that must all be stored.

The producer is a separate process, as in production; the ingestor, the engine and the broker are real.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from prometheus_client import REGISTRY

from stepwell_ingestor.service import Ingestor
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import EVENT_TYPES, LogEvent
from stepwell_schemas.limits import MIB
from stepwell_schemas.media_store import MediaStore
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.odd_events import HEADER_BYTES, frame, mutated, odd_events, plain_record
from support.factories.odd_records import CODECS, batch, produce, record

GOOD: Final = RunPath("soak", "events", "good")
_GOOD_EVERY: Final = 50
_RAW_EVERY: Final = 2_000
_CASE_MAX_BYTES: Final = 10_000
_IN_FLIGHT: Final = 2_000
_STALL_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.5


@dataclass
class Report:
    """Result of a soak: numbers of events sent, valid, settled and stored, dead letters, time and memory."""

    seed: int
    records: int = 0
    good: int = 0
    good_stored: int = 0
    settled: int = 0
    dead_letters: int = 0
    undelivered: int = 0
    seconds: float = 0.0
    longest_stall: float = 0.0
    rss_before_mib: int = 0
    rss_most_mib: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:,}" for name, value in asdict(self).items())


async def soak(settings: IngestorSettings, store: Store, events: int, seed: int) -> Report:
    """Send mutated events to an ingestor, and return the result. Raises: AssertionError when the ingestor fails."""
    report = Report(seed, good=-(-events // _GOOD_EVERY))
    before = {name: _metric(name) for name in ("events", "dead_letters", "dead_letters_undelivered")}
    process, began = psutil.Process(os.getpid()), time.monotonic()
    report.rss_before_mib = process.memory_info().rss // MIB
    arguments = (settings.kafka_bootstrap_servers, settings.events_topic, events, seed)
    sender = multiprocessing.get_context("spawn").Process(target=_send, args=arguments)
    ingestor = Ingestor(settings, store, media=MediaStore("memory://"))
    running = asyncio.create_task(ingestor.run())
    sender.start()
    moved, stalled = -1.0, began
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        assert not running.done(), f"the ingestor ended: {running.exception()!r} ({report})"
        assert sender.exitcode in {None, 0}, f"the sender ended with {sender.exitcode}"
        report.rss_most_mib = max(report.rss_most_mib, process.memory_info().rss // MIB)
        report.settled = round(_metric("events") - before["events"])
        if sender.exitcode == 0 and report.settled >= (records := await _ends(settings)):
            report.records = records
            break
        # The start of the processes is not part of the measurement.
        if report.settled != moved or (sender.exitcode is None and not report.settled):
            moved, stalled = report.settled, time.monotonic()
        report.longest_stall = max(report.longest_stall, time.monotonic() - stalled)
        assert report.longest_stall < _STALL_SECONDS, f"nothing was settled for long ({report})"
    report.seconds = time.monotonic() - began
    await ingestor.stop()
    await running
    sql = "SELECT count() AS n FROM {db}.numbers WHERE run_id = {run:String} AND key = 'good'"
    report.good_stored = store.query(sql, {"run": GOOD.run_id})["n"][0].as_py()
    report.dead_letters = round(_metric("dead_letters") - before["dead_letters"])
    report.undelivered = round(_metric("dead_letters_undelivered") - before["dead_letters_undelivered"])
    assert report.settled == report.records, report
    assert report.good_stored == report.good, report
    assert report.undelivered == 0, report
    return report


def _metric(name: str) -> float:
    wanted = f"stepwell_ingestor_{name}_total"
    return sum(sample.value for family in REGISTRY.collect() for sample in family.samples if sample.name == wanted)


async def _ends(settings: IngestorSettings) -> int:
    async with AIOKafkaConsumer(**settings.kafka_connection()) as consumer:
        numbers = await consumer._client._wait_on_metadata(settings.events_topic)
        ends = await consumer.end_offsets([TopicPartition(settings.events_topic, number) for number in numbers])
        return sum(ends.values())


def _send(broker: str, topic: str, events: int, seed: int) -> None:
    asyncio.run(_produce(broker, topic, events, seed))


async def _produce(broker: str, topic: str, events: int, seed: int) -> None:
    rng = random.Random(seed)
    seeds = [frame(event_type.name, plain_record(event_type.name)) for event_type in EVENT_TYPES]
    cases = [value for _, value in odd_events() if len(value) < _CASE_MAX_BYTES]
    async with AIOKafkaProducer(bootstrap_servers=broker, compression_type="lz4", linger_ms=5) as producer:
        pending: list[Any] = []
        for number in range(events):
            if number % _GOOD_EVERY == 0:
                step = number // _GOOD_EVERY
                good = LogEvent(**GOOD._asdict(), session="good", sequence=step, data={"good": float(step)}, step=step)
                pending.append(await producer.send(topic, encode(good), key=GOOD.kafka_key))
            else:
                value = _odd(rng, seeds, cases)
                headers = [("redriven", rng.randbytes(8))] if rng.random() < 0.01 else []
                pending.append(await producer.send(topic, value, key=rng.randbytes(1), headers=headers))
            if number % _RAW_EVERY == 0:
                # The broker refuses most of these; the accepted ones are read.
                await produce(broker, topic, [_raw(rng, rng.choice(seeds))])
            if len(pending) >= _IN_FLIGHT:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)


def _odd(rng: random.Random, seeds: list[bytes], cases: list[bytes]) -> bytes:
    """Return an event with a field at a bound, one with one bit changed, or one with several changes of any kind."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(cases)
    event = rng.choice(seeds)
    if kind < 0.55:
        return mutated(rng, event)
    value = bytearray(event)
    value[rng.randrange(HEADER_BYTES, len(value))] ^= 1 << rng.randrange(8)
    return bytes(value)


def _raw(rng: random.Random, value: bytes) -> bytes:
    """Return a batch with broken records, headers that are no text, or compressed data that is broken."""
    headers = [(rng.randbytes(rng.randrange(4)), None if rng.random() < 0.5 else rng.randbytes(4))]
    odd = record(mutated(rng, value), headers=headers)
    kind = rng.randrange(4)
    if kind == 0:
        return batch([mutated(rng, odd)])
    if kind == 1:
        return batch([], compression=rng.choice(list(CODECS)), packed=mutated(rng, CODECS[1](odd)), count=1)
    return batch([odd, record(mutated(rng, value), 1)], compression=rng.choice(list(CODECS)))
