"""The connection of commands to Kafka: where its brokers are, and what is reported when they do not answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from aiokafka.errors import KafkaConnectionError, KafkaError

from stepwell_deploy.errors import BrokerError
from stepwell_deploy.service_client import ServiceClient
from stepwell_schemas.settings import KafkaSettings

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
