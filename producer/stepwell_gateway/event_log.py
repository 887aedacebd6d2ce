"""The log of events: Kafka, written by one idempotent producer that waits for all in-sync replicas.

A producer is used until it fails: until the brokers acknowledge nothing for some time, or refuse a batch, after which
an idempotent producer can't send anything. Then it is dropped, with what it has not delivered, and another one takes
its place. Requests with such events are answered with an error. Their clients repeat them, and events that were stored
nevertheless count once, since they are numbered.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

import structlog
from aiokafka.errors import KafkaError

from stepwell_gateway import telemetry
from stepwell_gateway.errors import BufferFullError, EventTooLargeError, NotWrittenError
from stepwell_gateway.settings import GatewaySettings
from stepwell_schemas.errors import KafkaUnavailableError
from stepwell_schemas.events.routing import RoutedEvent
from stepwell_schemas.kafka.producer import compressed_bytes, open_producer
from stepwell_schemas.kafka.record_size import event_room
from stepwell_schemas.limits import MAX_EVENT_BYTES, RECORD_OVERHEAD_BYTES

_RETRY_SECONDS: Final = (0.5, 5.0)
"""The first and the longest wait between two attempts to reach the brokers."""

_log = structlog.get_logger("stepwell.gateway")


class Position(NamedTuple):
    """The place of an event on Kafka."""

    partition: int
    offset: int


class Producer(Protocol):
    """The part of `stepwell_schemas.kafka.producer.EventProducer` that the log uses."""

    @property
    def max_message_bytes(self) -> int:
        """The largest record batch that the topic accepts, compressed."""

    async def send(self, topic: str, payload: bytes, key: bytes) -> asyncio.Future[Any]:
        """Hand an event over for sending; the future is done when the brokers have acknowledged it."""

    async def stop(self) -> None:
        """Close all connections immediately."""


Opener = Callable[[], Awaitable[Producer]]


class _Connection:
    """A producer in use, and the bytes that it holds; both are dropped together.

    Attributes:
        producer: the producer.
        held: bytes of events that are not acknowledged.
        pending: the number of these events.
        last_answer: the time of the last acknowledgement, or of the first event after none were pending.
        broken: set when the producer must be replaced; `reason` says why.
    """

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.held = self.pending = 0
        self.last_answer = time.monotonic()
        self.broken = asyncio.Event()
        self.reason = ""

    async def send(self, topic: str, event: RoutedEvent) -> asyncio.Future[Any]:
        """Hand an event over; the caller awaits its future. Raises: aiokafka's KafkaError, NotWrittenError."""
        if self.broken.is_set():
            raise NotWrittenError("the connection to the brokers is being renewed; repeat the request later")
        size = _held_bytes(event)
        if not self.pending:
            self.last_answer = time.monotonic()
        self.held += size
        self.pending += 1
        try:
            future = await self.producer.send(topic, event.payload, event.run.kafka_key)
        except BaseException:
            self._release(size)
            raise
        future.add_done_callback(lambda done: self._settle(done, size))
        return future

    def break_off(self, reason: str) -> None:
        """Have the producer replaced."""
        if not self.broken.is_set():
            self.reason = reason
            self.broken.set()

    def _settle(self, future: asyncio.Future[Any], size: int) -> None:
        self._release(size)
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self.last_answer = time.monotonic()
        else:
            self.break_off(f"{type(error).__name__}: {error}")

    def _release(self, size: int) -> None:
        self.held -= size
        self.pending -= 1
        telemetry.BUFFERED_BYTES.set(self.held)


class EventLog:
    """Puts events on Kafka. `start` it before use, and `close` it at the end."""

    def __init__(self, settings: GatewaySettings, open_: Opener | None = None) -> None:
        """Prepare the log; `open_` returns a started producer, by default one of the brokers in the settings."""
        self._settings = settings
        self._open = open_ or self._open_producer
        self._connection: _Connection | None = None
        self._reason = "the gateway is starting"
        self._running: asyncio.Task[None] | None = None

    @property
    def reason(self) -> str:
        """Reason why no events can be written now, "" if they can."""
        return "" if self._connection is not None else self._reason

    @property
    def event_bytes(self) -> int:
        """Bytes of an event that the topic accepts without compression; as far as it is known."""
        if self._connection is None:
            return MAX_EVENT_BYTES
        return min(MAX_EVENT_BYTES, event_room(self._connection.producer.max_message_bytes, b""))

    def start(self) -> None:
        """Connect to the brokers, and again after each failure; returns immediately."""
        self._running = asyncio.create_task(self._run(), name="event_log")

    async def close(self) -> None:
        """Stop. What is not acknowledged is not waited for: requests have ended before."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def publish(self, events: Sequence[RoutedEvent]) -> list[Position]:
        """Put events on Kafka in order; return their places when the brokers have acknowledged all of them.

        After an error, some of them may be stored nevertheless.

        Raises:
            EventTooLargeError: if the topic does not accept one of them; none is sent.
            BufferFullError: if too many bytes wait for the brokers; none is sent.
            NotWrittenError: if the brokers don't acknowledge all of them in time.
        """
        connection = self._connection
        if connection is None:
            raise NotWrittenError(f"{self._reason}; repeat the request later")
        for index, event in enumerate(events):
            self._check_size(index, event, connection.producer.max_message_bytes)
        needed = sum(map(_held_bytes, events))
        if connection.held and connection.held + needed > self._settings.gateway_buffer_bytes:
            raise BufferFullError(
                f"{connection.held:,} bytes of events wait for the brokers; repeat the request later, or raise "
                "STEPWELL_GATEWAY_BUFFER_BYTES"
            )
        positions = await self._send(connection, events)
        telemetry.EVENTS.inc(len(events))
        telemetry.EVENT_BYTES.inc(sum(len(event.payload) for event in events))
        return positions

    async def _send(self, connection: _Connection, events: Sequence[RoutedEvent]) -> list[Position]:
        seconds = self._settings.gateway_ack_seconds
        futures: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(seconds):
                for event in events:
                    futures.append(await connection.send(self._settings.events_topic, event))  # noqa: PERF401
                telemetry.BUFFERED_BYTES.set(connection.held)
                await _wait(futures, connection.broken)
        except TimeoutError:
            if time.monotonic() - connection.last_answer >= seconds:
                connection.break_off(f"no acknowledgement for {seconds:g} s")
            raise NotWrittenError(
                f"the brokers have not acknowledged all events within {seconds:g} s; repeat the request later"
            ) from None
        except KafkaError as error:
            connection.break_off(f"{type(error).__name__}: {error}")
        if not all(future.done() and not future.cancelled() and future.exception() is None for future in futures):
            raise NotWrittenError("the brokers have not accepted all events; repeat the request later")
        if len(futures) < len(events):
            raise NotWrittenError("the brokers do not accept events now; repeat the request later")
        return [Position(record.partition, record.offset) for record in (future.result() for future in futures)]

    def _check_size(self, index: int, event: RoutedEvent, max_message_bytes: int) -> None:
        """Raise EventTooLargeError if the topic does not accept an event.

        The brokers' refusal would break the producer, and with it the requests of all other clients.
        """
        size = len(event.payload)
        room = event_room(max_message_bytes, event.run.kafka_key)
        if size <= min(room, MAX_EVENT_BYTES):
            return
        if size > MAX_EVENT_BYTES or compressed_bytes(event.payload, self._settings.gateway_compression) > room:
            raise EventTooLargeError(index, size, min(room, MAX_EVENT_BYTES))

    async def _run(self) -> None:
        wait, longest = _RETRY_SECONDS
        attempt = 0
        while True:
            try:
                producer = await self._open()
            except KafkaUnavailableError as error:
                if str(error) != self._reason:
                    _log.warning("kafka_unavailable", error=str(error))
                self._reason = str(error)
                await asyncio.sleep(min(wait * 2**attempt, longest) * (0.5 + random.random() / 2))  # noqa: S311
                attempt = min(attempt + 1, 8)
                continue
            attempt = 0
            await self._use(producer)

    async def _use(self, producer: Producer) -> None:
        """Use a producer until it breaks."""
        self._connection = connection = _Connection(producer)
        telemetry.KAFKA_UP.set(1)
        _log.info("kafka_connected", max_message_bytes=producer.max_message_bytes)
        try:
            await connection.broken.wait()
            self._reason = "the connection to the brokers is being renewed"
            _log.warning("kafka_connection_renewed", reason=connection.reason, dropped=connection.pending)
        finally:
            self._connection = None
            telemetry.KAFKA_UP.set(0)
            telemetry.BUFFERED_BYTES.set(0)
            await producer.stop()

    async def _open_producer(self) -> Producer:
        settings = self._settings
        if not settings.kafka_bootstrap_servers:
            raise KafkaUnavailableError("STEPWELL_KAFKA_BOOTSTRAP_SERVERS names no brokers", has_remedy=True)
        return await open_producer(settings, settings.gateway_ack_seconds, settings.gateway_compression)


async def _wait(futures: Sequence[asyncio.Future[Any]], broken: asyncio.Event) -> None:
    """Wait until all futures are done, or the connection is broken, which leaves some of them pending forever.

    Cancellation leaves the futures alone: a request that is given up must not cancel what the producer is sending.
    """
    acknowledged: asyncio.Future[list[Any]] = asyncio.gather(*futures, return_exceptions=True)
    breaking: asyncio.Future[Any] = asyncio.ensure_future(broken.wait())
    try:
        await asyncio.wait({acknowledged, breaking}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        breaking.cancel()


def _held_bytes(event: RoutedEvent) -> int:
    return len(event.payload) + RECORD_OVERHEAD_BYTES
