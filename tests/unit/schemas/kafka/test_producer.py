"""A producer's waits are bounded, and it is dropped without waiting for what it has not sent."""

from __future__ import annotations

import asyncio

import pytest

from stepwell_schemas.kafka.producer import EventProducer, StalledError
from stepwell_schemas.settings import KafkaSettings

pytestmark = pytest.mark.anyio


async def test_a_missing_acknowledgement_is_an_error_after_the_limit() -> None:
    producer = EventProducer(KafkaSettings(kafka_bootstrap_servers="h:1"), ack_seconds=0.01)
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(30):
        with pytest.raises(StalledError, match="h:1"):
            await producer.wait(answer)
    assert answer.cancelled()


async def test_an_acknowledgement_in_time_is_none() -> None:
    producer = EventProducer(KafkaSettings(), ack_seconds=30)
    answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(answer.set_result, None)
    await producer.wait(answer)


async def test_a_cancelled_wait_is_no_stall() -> None:
    producer = EventProducer(KafkaSettings(), ack_seconds=30)
    waiting = asyncio.create_task(producer.wait(asyncio.get_running_loop().create_future()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
