"""The transport to the brokers: the shared producer of events, with the SDK's errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator

from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
)

from stepwell.delivery import transport
from stepwell.delivery.transport import AfterRefusalError, EventTooLargeError, TransportError
from stepwell.errors import NotConnectedError
from stepwell.service_errors import START_REMEDY
from stepwell.settings import ProducerSettings
from stepwell_schemas.errors import KafkaUnavailableError
from stepwell_schemas.kafka import producer
from stepwell_schemas.kafka.producer import START_SECONDS, EventProducer

# The SDK reports unreachable brokers itself, once. So aiokafka's log records are not printed by default; logging that
# the training script has configured still receives them.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


class KafkaTransport:
    """Sends events to the topic of its settings. Create it with `open_kafka`."""

    def __init__(self, events: EventProducer, topic: str) -> None:
        self._producer = events
        self._topic = topic

    @property
    def cluster_id(self) -> str:
        """Id of the Kafka cluster, "" if the brokers don't report it."""
        return self._producer.cluster_id

    @property
    def generation(self) -> int:
        """Number that increases with each renewal; futures of an earlier generation are never done."""
        return self._producer.generation

    @property
    def max_message_bytes(self) -> int:
        """The largest record batch that the topic accepts, compressed."""
        return self._producer.max_message_bytes

    async def send(self, payload: bytes, key: bytes) -> asyncio.Future[object]:
        """Hand an event over; the future is done when the brokers have acknowledged it. Raises: TransportError."""
        with _translated():
            return await self._producer.send(self._topic, payload, key)

    async def wait(self, future: asyncio.Future[object]) -> None:
        """Wait for an acknowledgement. Raises: TransportError."""
        with _translated():
            await self._producer.wait(future)

    async def renew(self, max_message_bytes: int | None = None) -> None:
        """Start again after a refused batch: the producer can't send anything then. Raises: NotConnectedError."""
        with _translated():
            await self._producer.renew(max_message_bytes)

    async def stop(self) -> None:
        """Close all connections immediately."""
        await self._producer.stop()


async def open_kafka(
    settings: ProducerSettings, ack_seconds: float, start_seconds: float | None = None
) -> KafkaTransport:
    """Return a transport to the brokers and the topic of the settings.

    Args:
        settings: the connection, the topic and the compression.
        ack_seconds: seconds without an acknowledgement after which `StalledError` is raised.
        start_seconds: seconds within which the brokers must answer; None: the default.

    Raises:
        NotConnectedError: whose causes tell the reason.
    """
    with _translated():
        events = await producer.open_producer(
            settings, ack_seconds, settings.compression, start_seconds or START_SECONDS
        )
    return KafkaTransport(events, settings.events_topic)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except KafkaUnavailableError as error:
        raise NotConnectedError(str(error), "" if error.has_remedy else START_REMEDY) from error
    except KafkaError as error:
        raise _translate(error) from error


def _translate(error: KafkaError) -> TransportError:
    text = str(error) or type(error).__name__
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return EventTooLargeError(text)
    if isinstance(error, OutOfOrderSequenceNumber):
        return AfterRefusalError(text)
    if isinstance(error, producer.StalledError):
        return transport.StalledError(text)
    return TransportError(text) if error.retriable else transport.RefusedError(text)
