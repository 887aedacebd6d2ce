"""The events of a topic, as an ingestor takes them: repeated records count once."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import numpy as np
from aiokafka import AIOKafkaConsumer

from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import Event, LogBatch


def read_events(broker: str, topic: str) -> list[Event]:
    """Return the events of a topic up to its present end, each partition in order."""
    return asyncio.run(_read(broker, topic))


async def _read(broker: str, topic: str) -> list[Event]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        events: list[Event] = []
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for messages in (await consumer.getmany(timeout_ms=1000)).values():
                events += [decode(message.value) for message in messages]
        return events
    finally:
        await consumer.stop()


def read_column(events: list[Event], key: str) -> list[float]:
    """Return the numbers of a key in the order of their records; fail if a session lacks a record.

    Sessions follow one another in the order in which they begin.
    """
    following: dict[str, int] = defaultdict(int)
    values: list[float] = []
    for event in events:
        skipped = max(following[event.session] - event.sequence, 0)
        assert event.sequence <= following[event.session], f"records before {event.sequence} are missing"
        following[event.session] = max(following[event.session], event.sequence + event.records)
        for block in event.blocks if isinstance(event, LogBatch) else []:
            if key in block.keys:
                column = np.frombuffer(block.packed, "<f8").reshape(len(block.keys), -1)[block.keys.index(key)]
                count = len(column)
                rows = np.arange(count) if block.rows is None else np.frombuffer(block.rows, "<u4").astype(np.int64)
                values += column[rows >= skipped].tolist()
    return values
