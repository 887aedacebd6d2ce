"""Reading the dead-letter topic, and sending letters back to where their events came from."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Container, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import httpx
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from stepwell.api.paths import run_url
from stepwell_deploy.deadletters.models import Letter, LetterName, Origin
from stepwell_deploy.errors import BrokerError, LetterError, NoLetterError, ServiceRefusedError
from stepwell_deploy.service_client import ServiceClient
from stepwell_ingestor.kafka.record_consumer import RecordConsumer
from stepwell_ingestor.kafka.record_models import Record, Unreadable
from stepwell_ingestor.messages import REDRIVEN_HEADER
from stepwell_schemas.errors import DeadLetterReason
from stepwell_schemas.limits import FETCH_RECORDS, LATEST_TIMESTAMP, MAX_EVENT_BYTES
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.settings import KafkaSettings

_REQUEST_MILLISECONDS: Final = 10_000
_FETCH_MILLISECONDS: Final = 500
_READ_SECONDS: Final = 30.0
_LATEST_TIMESTAMP: Final = LATEST_TIMESTAMP // 1_000
_IN_FLIGHT: Final = 500
T = TypeVar("T")

# aiokafka's log lines about missing brokers and topics; the command prints one sentence instead.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


def find_kafka(service: ServiceClient) -> KafkaSettings:
    """Return the connection to Kafka from the environment, otherwise from the service.

    Raises:
        BrokerError: when neither names brokers.
        httpx.HTTPError, ServiceRefusedError: when the service is needed and does not answer.
    """
    settings = KafkaSettings()
    if settings.kafka_bootstrap_servers:
        return settings
    connection = service.get("connect")
    if not connection["kafka"]["bootstrap_servers"]:
        raise BrokerError("the service names no Kafka brokers; set STEPWELL_KAFKA_BOOTSTRAP_SERVERS=host:port")
    update = {
        "kafka_bootstrap_servers": connection["kafka"]["bootstrap_servers"],
        "kafka_security_protocol": connection["kafka"]["security_protocol"],
        "events_topic": connection["topics"]["events"],
        "deadletters_topic": connection["topics"]["deadletters"],
    }
    return settings.model_copy(update=update)


def run_kafka(settings: KafkaSettings, work: Coroutine[Any, Any, T]) -> T:
    """Run `work` and return its result. Raises: BrokerError, in one sentence, for any error of Kafka."""
    try:
        return asyncio.run(work)
    except KafkaConnectionError as error:
        raise BrokerError(f"no Kafka broker answers at {settings.kafka_bootstrap_servers}") from error
    except (KafkaError, OSError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise BrokerError(f"Kafka at {settings.kafka_bootstrap_servers}: {said}") from error


class TopicLog:
    """The records that one topic has when it is opened, read outside any consumer group.

    Attributes:
        partitions: the topic's partitions, ascending.
    """

    def __init__(self, consumer: RecordConsumer, ranges: dict[TopicPartition, range]) -> None:
        self._consumer = consumer
        self._ranges = ranges
        self.partitions = [partition.partition for partition in ranges]

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings, topic: str) -> AsyncIterator[TopicLog]:
        """Open a topic for the block. Raises: BrokerError if it does not exist; KafkaError."""
        consumer = RecordConsumer(
            topic,
            **settings.kafka_connection(),
            auto_offset_reset="earliest",
            request_timeout_ms=_REQUEST_MILLISECONDS,
        )
        try:
            try:
                await consumer.start()
            except UnknownTopicOrPartitionError as error:
                raise BrokerError(f"Kafka at {settings.kafka_bootstrap_servers} has no topic {topic}") from error
            partitions = sorted(consumer.assignment())
            first = await consumer.beginning_offsets(partitions)
            end = await consumer.end_offsets(partitions)
            yield cls(consumer, {name: range(first[name], end[name]) for name in partitions})
        finally:
            await consumer.stop()

    async def all_topics(self) -> set[str]:
        """Return the names of all topics of the broker."""
        topics: set[str] = await self._consumer.topics()
        return topics

    async def records(self) -> AsyncIterator[Record | Unreadable]:
        """Yield every record, and a placeholder for each unreadable one, in order within each partition."""
        unread = {partition for partition, offsets in self._ranges.items() if offsets}
        for partition in unread:
            self._consumer.seek(partition, self._ranges[partition].start)
        while unread:
            fetched = await self._consumer.getmany(*unread, timeout_ms=_FETCH_MILLISECONDS, max_records=FETCH_RECORDS)
            for partition, records in fetched.items():
                for record in records:
                    if record.offset in self._ranges[partition]:
                        yield record
            # The end is detected by position and not by record, since the last offsets may have no records.
            for partition in list(unread):
                if await self._consumer.position(partition) >= self._ranges[partition].stop:
                    unread.remove(partition)

    async def record(self, partition: int, offset: int) -> Record | Unreadable | None:
        """Return the record at an offset, a placeholder if it can't be read, or None if there is none."""
        topic_partition = next((known for known in self._ranges if known.partition == partition), None)
        if topic_partition is None or offset not in self._ranges[topic_partition]:
            return None
        self._consumer.seek(topic_partition, offset)
        async with asyncio.timeout(_READ_SECONDS):
            while True:
                fetched = await self._consumer.getmany(topic_partition, timeout_ms=_FETCH_MILLISECONDS, max_records=1)
                if fetched:
                    record: Record | Unreadable = fetched[topic_partition][0]
                    covered = isinstance(record, Unreadable) and record.first <= offset <= record.offset
                    return record if covered or record.offset == offset else None
                if await self._consumer.position(topic_partition) > offset:
                    return None


def _letter(record: Record | Unreadable) -> Letter:
    name = LetterName(record.partition, record.offset)
    if isinstance(record, Unreadable):
        headers = {"reason": str(DeadLetterReason.UNREADABLE), "detail": f"this record can't be read: {record.detail}"}
        return Letter(name, record.timestamp, None, None, headers)
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value is not None}
    return Letter(name, record.timestamp, record.key, record.value, headers)


class DeadLetters:
    """The letters that the dead-letter topic has when it is opened."""

    def __init__(self, settings: KafkaSettings, log: TopicLog) -> None:
        self._settings = settings
        self._log = log
        self.partitions = log.partitions

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: KafkaSettings) -> AsyncIterator[DeadLetters]:
        """Open the topic for the block. Raises: BrokerError, KafkaError."""
        async with TopicLog.open(settings, settings.deadletters_topic) as log:
            yield cls(settings, log)

    async def select(self, reason: str | None = None, run: str | None = None) -> AsyncIterator[Letter]:
        """Yield the letters of a reason and of a run (entity/project/run_id); None stands for all."""
        async for record in self._log.records():
            letter = _letter(record)
            if reason in {None, letter.reason} and (run is None or run == letter.run):
                yield letter

    async def named(self, text: str) -> Letter:
        """Return a letter by its name. Raises: NoLetterError, KafkaError."""
        name = LetterName.parse(text, self.partitions)
        record = await self._log.record(*name)
        if record is None:
            raise NoLetterError(text, f"see `list` for those that {self._settings.deadletters_topic} holds")
        return _letter(record)

    async def all_topics(self) -> set[str]:
        """Return the names of all topics of the broker. Raises: KafkaError."""
        return await self._log.all_topics()

    async def original(self, letter: Letter) -> tuple[bytes | None, bytes]:
        """Return the event's key and bytes: from the letter, or from its origin if they were too large for the letter.

        Raises:
            LetterError: when the letter has none, and Kafka no longer holds those at its origin.
        """
        if letter.value is not None:
            return letter.key, letter.value
        origin = require_origin(letter)
        async with TopicLog.open(self._settings, origin.topic) as log:
            record = await log.record(origin.partition, origin.offset)
        if isinstance(record, Unreadable):
            raise LetterError(f"its bytes at {origin} can't be read: {record.detail}")
        # A topic that was created again has another event at this offset.
        if record is None or record.timestamp != letter.event_timestamp or (record.key or b"") != (letter.key or b""):
            raise LetterError(f"its bytes were too large for a letter, and Kafka no longer holds them at {origin}")
        return record.key, record.value or b""


def require_origin(letter: Letter) -> Origin:
    """Return the origin of a letter's event. Raises: LetterError if its headers do not have one."""
    if letter.origin is None:
        raise LetterError("its headers name no topic, partition and offset: it was not written by an ingestor")
    return letter.origin


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
        request_timeout_ms=_REQUEST_MILLISECONDS,
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
