"""Every field of every event at its bounds and beyond, through Kafka and an ingestor: stored or a dead letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaProducer

from stepwell_deploy.deadletters.topic import DeadLetters
from stepwell_ingestor.settings import IngestorSettings
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import LogEvent, RunDeleted
from stepwell_schemas.rules.identifiers import RunPath
from support.factories.odd_events import ODD_RUN, odd_events
from support.servers.ingest import ingesting, make_ingestor_settings, until
from support.servers.stack import Topics

pytestmark = pytest.mark.anyio

GOOD = RunPath("me", "my project", "good")
_CASES_A_GOOD_EVENT = 10
_PATIENCE_SECONDS = 90.0


def a_good_event(step: int) -> bytes:
    """Return an event of the run that must be whole."""
    return encode(LogEvent(**GOOD._asdict(), data={"good": float(step)}, step=step))


async def send_all(broker: str, topic: str, values: Sequence[bytes]) -> list[int]:
    """Send values to one partition, in order; return their offsets."""
    async with AIOKafkaProducer(bootstrap_servers=broker, max_request_size=2**24, linger_ms=5) as producer:
        answers = [await producer.send(topic, value, key=ODD_RUN.kafka_key, partition=0) for value in values]
        return [(await answer).offset for answer in answers]


async def read_reasons(settings: IngestorSettings) -> dict[int, str]:
    """Return the reasons of all dead letters by the offset of their event."""
    async with DeadLetters.open(settings) as opened:
        return {int(letter.headers["offset"]): letter.reason async for letter in opened.select()}


async def test_odd_events_are_stored_or_dead_letters_and_good_events_follow(
    broker: str, topics: Topics, chdb_store: Store
) -> None:
    settings = make_ingestor_settings(broker, topics)
    cases = list(odd_events())
    values, names = [], []
    for number, (name, value) in enumerate(cases):
        values.append(value)
        names.append(name)
        if number % _CASES_A_GOOD_EVENT == 0:
            values.append(a_good_event(number // _CASES_A_GOOD_EVENT))
            names.append("")
    good = names.count("")

    def stored() -> int:
        return int(chdb_store.query("SELECT count() AS n FROM {db}.numbers WHERE key = 'good'")["n"][0].as_py())

    async with ingesting(settings, chdb_store) as ingestor:
        offsets = await send_all(broker, topics.events, values)
        await until(stored, good, _PATIENCE_SECONDS)
        await until(lambda: ingestor.status().lag_events, 0, _PATIENCE_SECONDS)
    reasons = await read_reasons(settings)
    assert all(reasons.values())
    sessions = set(chdb_store.query("SELECT DISTINCT session FROM {db}.session_activity")["session"].to_pylist())
    counts: Counter[str] = Counter()
    vanished = []
    for name, offset in zip(names, offsets, strict=True):
        if not name:
            continue
        event = name.partition(".")[0]
        session = f"{event}-{counts[event]}"
        counts[event] += 1
        # Records without a number are in no session's account, and a deletion leaves none.
        accounted = "session" not in name and ".sequence" not in name and event != RunDeleted.name
        if accounted and offset not in reasons and session not in sessions:
            vanished.append(name)
    assert vanished == []
