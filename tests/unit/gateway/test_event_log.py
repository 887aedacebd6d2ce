"""The log of events: answers after the brokers, bounded in bytes and time, and with a new producer after a failure."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from stepwell_gateway.errors import BufferFullError, EventTooLargeError, NotWrittenError
from stepwell_gateway.event_log import EventLog, Position
from stepwell_gateway.settings import GatewaySettings
from stepwell_schemas.errors import KafkaUnavailableError
from stepwell_schemas.events.routing import RoutedEvent
from stepwell_schemas.limits import MIB
from stepwell_schemas.rules.identifiers import RunPath

pytestmark = pytest.mark.anyio

RUN = RunPath("e", "p", "r")


class FakeProducer:
    """Fake brokers that answer on command of the test."""

    def __init__(self, max_message_bytes: int = 9 * MIB) -> None:
        self.max_message_bytes = max_message_bytes
        self.sent: list[bytes] = []
        self.answers: list[asyncio.Future[Any]] = []
        self.stopped = False

    async def send(self, topic: str, payload: bytes, key: bytes) -> asyncio.Future[Any]:
        assert not self.stopped
        assert (topic, key) == ("stepwell.events", RUN.kafka_key)
        self.sent.append(payload)
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    async def stop(self) -> None:
        self.stopped = True

    def acknowledge(self) -> None:
        """Acknowledge everything sent, at partition 1 from offset 100 on."""
        for number, answer in enumerate(self.answers):
            if not answer.done():
                answer.set_result(SimpleNamespace(partition=1, offset=100 + number))


def events(*sizes: int) -> Sequence[RoutedEvent]:
    return [RoutedEvent(RUN, bytes(size)) for size in sizes]


@asynccontextmanager
async def log_over(*producers: FakeProducer | Exception, **settings: Any) -> AsyncIterator[EventLog]:
    """Run a log that opens these producers in turn."""
    left = deque(producers)

    async def open_() -> FakeProducer:
        if not left:
            await asyncio.get_running_loop().create_future()
        producer = left.popleft()
        if isinstance(producer, Exception):
            raise producer
        return producer

    log = EventLog(GatewaySettings(**{"gateway_ack_seconds": 30.0} | settings), open_)
    log.start()
    await until(lambda: not log.reason or not left)
    yield log
    await log.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0)


async def test_events_are_answered_when_all_are_acknowledged() -> None:
    producer = FakeProducer()
    async with log_over(producer) as log:
        publishing = asyncio.create_task(log.publish(events(1, 2)))
        await until(lambda: len(producer.answers) == 2)
        producer.answers[1].set_result(SimpleNamespace(partition=1, offset=8))
        await asyncio.sleep(0.01)
        assert not publishing.done()
        producer.answers[0].set_result(SimpleNamespace(partition=0, offset=7))
        assert await publishing == [Position(0, 7), Position(1, 8)]


async def test_without_brokers_the_reason_is_given_and_they_are_tried_again() -> None:
    producer = FakeProducer()
    async with log_over(KafkaUnavailableError("no Kafka broker at h:1")) as log:
        await until(lambda: "h:1" in log.reason)
        with pytest.raises(NotWrittenError, match="no Kafka broker at h:1"):
            await log.publish(events(1))
    async with log_over(KafkaUnavailableError("away"), producer) as log:
        await until(lambda: not log.reason)
        publishing = asyncio.create_task(log.publish(events(1)))
        await until(lambda: producer.answers)
        producer.acknowledge()
        assert await publishing == [Position(1, 100)]


async def test_a_slow_acknowledgement_is_an_error_and_its_bytes_stay_counted() -> None:
    producer = FakeProducer()
    async with log_over(producer, gateway_ack_seconds=0.05, gateway_buffer_bytes=9 * MIB) as log:
        fast = asyncio.create_task(log.publish(events(1)))
        await until(lambda: producer.answers)
        slow = asyncio.create_task(log.publish(events(5 * MIB)))
        await until(lambda: len(producer.answers) == 2)
        producer.answers[0].set_result(SimpleNamespace(partition=0, offset=0))
        await fast
        with pytest.raises(BufferFullError, match="STEPWELL_GATEWAY_BUFFER_BYTES"):
            await log.publish(events(4 * MIB))
        assert len(producer.sent) == 2
        with pytest.raises(NotWrittenError, match=r"within 0\.05 s"):
            await slow


async def test_a_producer_without_any_acknowledgement_is_replaced() -> None:
    stalled, fresh = FakeProducer(), FakeProducer()
    async with log_over(stalled, fresh, gateway_ack_seconds=0.05) as log:
        with pytest.raises(NotWrittenError):
            await log.publish(events(1))
        await until(lambda: stalled.stopped and not log.reason)
        publishing = asyncio.create_task(log.publish(events(1)))
        await until(lambda: fresh.answers)
        fresh.acknowledge()
        await publishing


async def test_a_refused_batch_fails_every_request_on_its_way_and_replaces_the_producer() -> None:
    broken, fresh = FakeProducer(), FakeProducer()
    async with log_over(broken, fresh) as log:
        requests = [asyncio.create_task(log.publish(events(1, 1))) for _ in range(2)]
        await until(lambda: len(broken.answers) == 4)
        broken.answers[3].set_result(SimpleNamespace(partition=0, offset=0))
        broken.answers[0].set_exception(OutOfOrderSequenceNumber())
        for request in requests:
            with pytest.raises(NotWrittenError, match="repeat the request later"):
                await request
        await until(lambda: broken.stopped and not log.reason)
        assert not fresh.sent


async def test_an_event_that_the_topic_refuses_is_not_sent() -> None:
    producer = FakeProducer(max_message_bytes=100_000)
    noise = RoutedEvent(RUN, bytes(range(256)) * 2 + os.urandom(100_000))
    async with log_over(producer) as log:
        with pytest.raises(EventTooLargeError) as caught:
            await log.publish([*events(1), noise])
        assert (caught.value.index, caught.value.limit < 100_000) == (1, True)
        assert not producer.sent
        # It is compressed before the brokers compare it with the limit.
        publishing = asyncio.create_task(log.publish(events(200_000)))
        await until(lambda: producer.sent)
        producer.acknowledge()
        await publishing


async def test_a_request_that_is_given_up_cancels_nothing() -> None:
    producer = FakeProducer()
    async with log_over(producer) as log:
        publishing = asyncio.create_task(log.publish(events(1)))
        await until(lambda: producer.answers)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await publishing
        assert not producer.answers[0].cancelled()
