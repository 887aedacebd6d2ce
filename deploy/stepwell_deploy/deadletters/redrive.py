"""Sending the events of dead letters back to where they came from."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Awaitable, Container, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError

from stepwell.api.paths import run_url
from stepwell_deploy.deadletters.models import Letter, LetterName
from stepwell_deploy.deadletters.topic import REQUEST_MILLISECONDS, DeadLetters, require_origin
from stepwell_deploy.errors import BrokerError, LetterError, ServiceRefusedError
from stepwell_deploy.service_client import ServiceClient
from stepwell_ingestor.messages import REDRIVEN_HEADER
from stepwell_schemas.limits import LATEST_TIMESTAMP, MAX_EVENT_BYTES
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.settings import KafkaSettings

_LATEST_TIMESTAMP: Final = LATEST_TIMESTAMP // 1_000
_IN_FLIGHT: Final = 500


@dataclass
class Redriven:
    """Result of a redrive: events sent, duplicates of these events, letters skipped, and letters that failed."""

    sent: list[LetterName] = field(default_factory=list)
    same_event: list[LetterName] = field(default_factory=list)
    partly_stored: list[LetterName] = field(default_factory=list)
    failed: list[tuple[LetterName, str]] = field(default_factory=list)


async def redrive(
    settings: KafkaSettings, opened: DeadLetters, letters: AsyncIterable[Letter], *, partly_stored: bool
) -> Redriven:
    """Send the events of letters back to their topic and partition, byte for byte; each event once.

    Args:
        partly_stored: also send events of which a part is stored.

    Raises:
        KafkaError: when the broker fails; events that were sent before remain sent.
    """
    done = Redriven()
    on_the_way: deque[tuple[Letter, Awaitable[Any]]] = deque()
    events: set[str] = set()
    topics = await opened.all_topics()
    # Not an idempotent producer: aiokafka's sequence numbers break when the broker refuses a message for its size.
    async with AIOKafkaProducer(
        **settings.kafka_connection(),
        acks="all",
        max_request_size=2 * MAX_EVENT_BYTES,
        request_timeout_ms=REQUEST_MILLISECONDS,
    ) as producer:
        async for letter in letters:
            if letter.partly_stored and not partly_stored:
                done.partly_stored.append(letter.name)
            elif letter.origin is not None and letter.event_id in events:
                done.same_event.append(letter.name)
            else:
                events.add(letter.event_id)
                try:
                    on_the_way.append((letter, await _send(producer, opened, topics, letter)))
                except (LetterError, BrokerError, MessageSizeTooLargeError) as error:
                    done.failed.append((letter.name, str(error)))
            if len(on_the_way) >= _IN_FLIGHT:
                await _arrive(*on_the_way.popleft(), done)
        while on_the_way:
            await _arrive(*on_the_way.popleft(), done)
    return done


async def _send(
    producer: AIOKafkaProducer, opened: DeadLetters, topics: Container[str], letter: Letter
) -> Awaitable[Any]:
    origin = require_origin(letter)
    key, value = await opened.original(letter)
    # The producer would look for an unknown topic until its time limit.
    if origin.topic not in topics:
        raise LetterError(f"Kafka has no topic {origin.topic}")
    if origin.partition not in await producer.partitions_for(origin.topic):
        raise LetterError(f"the topic {origin.topic} has no partition {origin.partition}")
    # With the time it had: an event that names none of its own is stored at its record's. One that no clock has
    # would be refused.
    timestamp = letter.event_timestamp
    if timestamp is not None and not 0 <= timestamp <= _LATEST_TIMESTAMP:
        timestamp = None
    on_its_way: Awaitable[Any] = await producer.send(
        origin.topic,
        value,
        key=key,
        partition=origin.partition,
        timestamp_ms=timestamp,
        headers=[(REDRIVEN_HEADER, letter.event_id.encode())],
    )
    return on_its_way


async def _arrive(letter: Letter, on_its_way: Awaitable[Any], done: Redriven) -> None:
    try:
        await on_its_way
    except (MessageSizeTooLargeError, InvalidTimestampError) as error:
        done.failed.append((letter.name, f"its topic refuses it: {type(error).__name__}"))
    else:
        done.sent.append(letter.name)


def stored_sessions(service: ServiceClient, runs: Iterable[RunPath]) -> set[str] | None:
    """Return the sessions with records in runs, among them those of redriven events; None if no service answers."""
    taken: set[str] = set()
    for run in runs:
        try:
            sessions = service.get(run_url(run, "sessions"))["sessions"]
        except ServiceRefusedError:
            continue
        except httpx.HTTPError:
            return None
        taken |= {session["session"] for session in sessions if session["records"]}
    return taken
