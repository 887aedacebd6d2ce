"""A connection to the brokers that sends events: aiokafka's producer, bounded in time and disposable.

aiokafka's idempotent producer retries a batch forever, at the addresses that it knew when the batch was created, and
its `stop()` waits for all batches. So waits for an answer are bounded here, and a producer is dropped without waiting:
records carry their session and sequence, so what a later producer sends again counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.codec import lz4_encode, zstd_encode
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from stepwell_schemas.errors import KafkaUnavailableError
from stepwell_schemas.kafka.topic import DEFAULT_MESSAGE_BYTES, read_topic
from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from stepwell_schemas.settings import DEFAULT_COMPRESSION, Compression, KafkaSettings

START_SECONDS: Final = 10.0
"""Seconds within which the brokers must answer."""

_CLOSE_SECONDS: Final = 0.4
_ACCUMULATED_BYTES: Final = MAX_EVENT_BYTES // 4


class StalledError(KafkaError):  # type: ignore[misc]
    """The brokers have acknowledged nothing for some time while records were pending."""


class EventProducer:
    """Sends events of one topic. Create it with `open_producer`.

    Attributes:
        cluster_id: id of the Kafka cluster, "" if the brokers don't report it.
        max_message_bytes: largest record batch that the topic accepts, compressed.
        generation: increases with each renewal; futures of an earlier generation are never done.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        ack_seconds: float,
        compression: Compression = DEFAULT_COMPRESSION,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._settings = settings
        self._ack_seconds = ack_seconds
        self._compression = compression
        self._start_seconds = start_seconds
        self._producer: AIOKafkaProducer | None = None
        self._learned_limit = DEFAULT_MESSAGE_BYTES
        self.cluster_id = ""
        self.max_message_bytes = DEFAULT_MESSAGE_BYTES
        self.generation = 0

    async def start(self) -> None:
        """Connect. Raises: KafkaUnavailableError, whose cause tells the reason."""
        settings, servers = self._settings, self._settings.kafka_bootstrap_servers
        try:
            async with asyncio.timeout(self._start_seconds):
                topic = await read_topic(settings)
                limits = (topic.max_message_bytes or DEFAULT_MESSAGE_BYTES, self._learned_limit)
                self.cluster_id, self.max_message_bytes = topic.cluster_id, min(limits)
                self._producer = _make_producer(settings, self._compression, self.max_message_bytes)
                await self._producer.start()
        except BaseException as error:
            await self.stop()
            has_remedy = True
            if isinstance(error, UnknownTopicOrPartitionError):
                text = f"no topic {settings.events_topic} at {servers}; `stepwell setup` creates it"
            elif isinstance(error, TimeoutError):
                text = f"no answer from Kafka at {servers} within {self._start_seconds:g} s"
            elif isinstance(error, KafkaError | OSError | ValueError):
                text, has_remedy = f"no Kafka broker at {servers} ({error})", False
            else:
                raise
            raise KafkaUnavailableError(text, has_remedy=has_remedy) from error

    async def send(self, topic: str, payload: bytes, key: bytes) -> asyncio.Future[object]:
        """Hand an event over for sending; the future is done when the brokers have acknowledged it.

        Raises: StalledError if the producer takes no event for too long; aiokafka's KafkaError.
        """
        assert self._producer is not None  # noqa: S101 - started by open_producer()
        async with self._bounded():
            future: asyncio.Future[object] = await self._producer.send(topic, payload, key=key)
        return future

    async def wait(self, future: asyncio.Future[object]) -> None:
        """Wait for an acknowledgement. Raises: StalledError if there is none for too long; aiokafka's KafkaError."""
        async with self._bounded():
            await future

    @contextlib.asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._ack_seconds):
                yield
        except TimeoutError as error:
            raise StalledError(
                f"no acknowledgement from Kafka at {self._settings.kafka_bootstrap_servers} for {self._ack_seconds:g} s"
            ) from error

    async def renew(self, max_message_bytes: int | None = None) -> None:
        """Replace aiokafka's producer, which can't send anything after a refused batch; futures are never done then.

        Args:
            max_message_bytes: a limit that was learned from a refusal.

        Raises: KafkaUnavailableError.
        """
        await self.stop()
        if max_message_bytes is not None:
            self._learned_limit = min(max_message_bytes, self._learned_limit)
        self.generation += 1
        await self.start()

    async def stop(self) -> None:
        """Close all connections immediately. What is not acknowledged is not waited for."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _drop(producer)


def compressed_bytes(payload: bytes, compression: Compression) -> int:
    """Return the size of a payload as a producer compresses it, alone in its batch."""
    if compression == "none":
        return len(payload)
    return len(lz4_encode(payload) if compression == "lz4" else zstd_encode(payload))


async def open_producer(
    settings: KafkaSettings,
    ack_seconds: float,
    compression: Compression,
    start_seconds: float = START_SECONDS,
) -> EventProducer:
    """Return a started producer, idempotent and waiting for all in-sync replicas. Raises: KafkaUnavailableError.

    Args:
        settings: the connection and the topic.
        ack_seconds: seconds without an acknowledgement after which `StalledError` is raised.
        compression: of record batches.
        start_seconds: seconds within which the brokers must answer.
    """
    producer = EventProducer(settings, ack_seconds, compression, start_seconds)
    await producer.start()
    return producer


def _make_producer(settings: KafkaSettings, compression: Compression, max_message_bytes: int) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        **settings.kafka_connection(),
        acks="all",
        enable_idempotence=True,
        compression_type=None if compression == "none" else compression,
        # Not the topic's limit: that one applies to compressed bytes, and this one to an event before compression.
        max_request_size=MAX_EVENT_BYTES + MIB,
        # Several events travel in one record batch, which must not exceed the topic's limit.
        max_batch_size=min(_ACCUMULATED_BYTES, max_message_bytes),
    )


async def _drop(producer: AIOKafkaProducer) -> None:
    """Close a producer without waiting for its batches, which `AIOKafkaProducer.stop` does."""
    producer._closed = True
    sender = producer._sender
    # The task of the sender, and those of its requests: they retry as long as they exist.
    tasks = [task for task in asyncio.all_tasks() if _runs_in(task, sender)]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)
    with contextlib.suppress(TimeoutError, KafkaError, OSError):
        async with asyncio.timeout(_CLOSE_SECONDS):
            await producer.client.close()


def _runs_in(task: asyncio.Task[Any], sender: object) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame is not None and frame.f_locals.get("self") is sender
