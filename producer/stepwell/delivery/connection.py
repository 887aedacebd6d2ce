"""Connections to the brokers, also after they moved.

Their addresses come from the settings, otherwise from the service's `/api/v1/connect`.
"""

from __future__ import annotations

import logging
import random
from typing import Any, Final

import httpx

from stepwell.delivery.event_producer import EventProducer, StalledError, open_producer
from stepwell.delivery.reconnect import (
    Brokers,
    brokers_to_try,
    is_other_cluster,
    next_stalls,
    retry_delay,
    stall_limit,
)
from stepwell.errors import NotConnectedError
from stepwell.service_errors import describe_unanswered
from stepwell.settings import ProducerSettings
from stepwell.terminal import notify

__all__ = ["BrokerConnection", "find_brokers", "open_producer"]

_ASK_TIMEOUT_SECONDS: Final = 5.0

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
            brokers = Brokers(
                connection["kafka"]["bootstrap_servers"],
                connection["kafka"].get("security_protocol", settings.kafka_security_protocol),
                connection["topics"]["events"],
            )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise NotConnectedError(*describe_unanswered(settings.base_url, error)) from error
    return _with_brokers(settings, brokers)


def _with_brokers(settings: ProducerSettings, brokers: Brokers) -> ProducerSettings:
    update: dict[str, Any] = {
        "kafka_bootstrap_servers": brokers.servers,
        "kafka_security_protocol": brokers.security_protocol,
        "events_topic": brokers.topic,
    }
    return settings.model_copy(update=update)


def _get_brokers(settings: ProducerSettings) -> Brokers:
    return Brokers(settings.kafka_bootstrap_servers, settings.kafka_security_protocol, settings.events_topic)


class BrokerConnection:
    """The connection of one session, made again after each failure.

    Attributes:
        topic: the events topic. connected: whether there was a connection before.
    """

    def __init__(self, settings: ProducerSettings, label: str) -> None:
        """Create a connection; `label` begins its notices."""
        self._settings = settings
        self._label = label
        self._known: Brokers | None = None
        self._cluster_id = ""
        self._attempts = 0
        self._stalls = 0
        self.topic = settings.events_topic

    @property
    def connected(self) -> bool:
        """Return whether there was a connection before."""
        return self._known is not None

    async def open(self) -> EventProducer:
        """Return a started producer, at the address that the service names now or that worked before.

        Raises: NotConnectedError.
        """
        answered: Brokers | None = None
        failures: list[NotConnectedError] = []
        try:
            answered = _get_brokers(await find_brokers(self._settings))
        except NotConnectedError as error:
            failures.append(error)
        for brokers in brokers_to_try(answered, self._known):
            try:
                producer = await open_producer(
                    _with_brokers(self._settings, brokers),
                    stall_limit(self._settings.ack_timeout_seconds, self._stalls),
                )
            except NotConnectedError as error:
                failures.append(error)
                continue
            self._note_cluster(producer.cluster_id)
            self._known, self.topic, self._attempts = brokers, brokers.topic, 0
            return producer
        raise failures[0]

    def _note_cluster(self, cluster_id: str) -> None:
        if is_other_cluster(self._cluster_id, cluster_id):
            notify(
                f"{self._label}: the brokers belong to another Kafka cluster now ({cluster_id} instead of "
                f"{self._cluster_id}); it gets all records that the earlier one had not acknowledged"
            )
        self._cluster_id = cluster_id or self._cluster_id

    def failed(self, error: BaseException, *, progressed: bool) -> float:
        """Return the seconds to wait after an error; `progressed`: this connection delivered records before it."""
        if isinstance(error, StalledError):
            self._stalls = next_stalls(self._stalls, progressed=progressed)
        delay = retry_delay(self._attempts, self._settings.retry_seconds, random.random())  # noqa: S311 - jitter
        self._attempts += 1
        return delay
