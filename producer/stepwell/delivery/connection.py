"""Discovery of the brokers: from the settings, otherwise from the service's `/api/v1/connect`."""

from __future__ import annotations

import logging
from typing import Any, Final

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from stepwell.errors import NotConnectedError
from stepwell.settings import ProducerSettings
from stepwell_schemas.limits import MAX_EVENT_BYTES

_ASK_TIMEOUT_SECONDS: Final = 5.0
REMEDY: Final = "start one with `stepwell up`, or set STEPWELL_KAFKA_BOOTSTRAP_SERVERS or STEPWELL_BASE_URL"

# The SDK reports unreachable brokers itself, once. So aiokafka's log records are not printed by default; logging that
# the training script has configured still receives them.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


async def find_brokers(settings: ProducerSettings) -> ProducerSettings:
    """Return the settings with brokers and topics filled in. Raises: NotConnectedError."""
    if settings.kafka_bootstrap_servers:
        return settings
    key = settings.api_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        async with httpx.AsyncClient(timeout=_ASK_TIMEOUT_SECONDS, headers=headers) as client:
            response = await client.get(f"{settings.base_url.rstrip('/')}/api/v1/connect")
            response.raise_for_status()
            connection = response.json()
            update: dict[str, Any] = {
                "kafka_bootstrap_servers": connection["kafka"]["bootstrap_servers"],
                "kafka_security_protocol": connection["kafka"].get(
                    "security_protocol", settings.kafka_security_protocol
                ),
                "events_topic": connection["topics"]["events"],
            }
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise NotConnectedError(f"no server at {settings.base_url} ({type(error).__name__})") from error
    return settings.model_copy(update=update)


async def open_producer(settings: ProducerSettings) -> AIOKafkaProducer:
    """Return a started idempotent producer that waits for all in-sync replicas. Raises: NotConnectedError."""
    producer = AIOKafkaProducer(
        **settings.kafka_connection(),
        acks="all",
        enable_idempotence=True,
        compression_type=None if settings.compression == "none" else settings.compression,
        max_request_size=MAX_EVENT_BYTES,
        max_batch_size=MAX_EVENT_BYTES // 4,
    )
    try:
        await producer.start()
    except (KafkaError, OSError, ValueError) as error:
        await producer.stop()
        raise NotConnectedError(f"no Kafka broker at {settings.kafka_bootstrap_servers} ({error})") from error
    return producer
