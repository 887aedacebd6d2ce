"""Properties of the events topic, as the brokers report them: its existence, its size limit, its cluster.

Read over a connection of its own: errors of aiokafka's clients say only that no broker could be reached, and these
are the reason.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, NamedTuple

from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.metadata import MetadataRequest

from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from stepwell_schemas.settings import KafkaSettings

_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.2
_MAX_MESSAGE: Final = "max.message.bytes"
DEFAULT_MESSAGE_BYTES: Final = MAX_EVENT_BYTES + MIB
"""Assumed size limit of a topic's record batches if the brokers don't report it: the one that `setup` sets."""


class Topic(NamedTuple):
    """A topic's properties; `cluster_id` is "" and `max_message_bytes` is None if the brokers don't report them."""

    cluster_id: str
    max_message_bytes: int | None


async def read_topic(settings: KafkaSettings) -> Topic:
    """Return the properties of the events topic. Raises: aiokafka's KafkaError, OSError, TimeoutError, ValueError."""
    arguments = settings.kafka_connection()
    failure: Exception = KafkaConnectionError("no address of a broker")
    for host, port, _ in collect_hosts(arguments.pop("bootstrap_servers")):
        try:
            connection = await create_conn(host, port, **arguments)
        except (KafkaError, OSError) as error:
            failure = error
            continue
        try:
            return await _read_from(connection, settings.events_topic)
        finally:
            connection.close()
    raise failure


async def _read_from(connection: Any, topic: str) -> Topic:
    for attempt in range(_ATTEMPTS):
        # Brokers that create missing topics report this one as missing until it exists.
        await asyncio.sleep(_PAUSE_SECONDS if attempt else 0)
        answer = (await connection.send(MetadataRequest([topic]))).to_object()
        code = answer["topics"][0]["error_code"] if answer["topics"] else UnknownTopicOrPartitionError.errno
        if not code:
            return Topic(answer.get("cluster_id") or "", await _read_limit(connection, topic))
        if not for_code(code).retriable:
            break
    raise for_code(code)(topic)


async def _read_limit(connection: Any, topic: str) -> int | None:
    """Return the topic's `max.message.bytes`; None if this client may not read it."""
    request = DescribeConfigsRequest([(ConfigResourceType.TOPIC, topic, [_MAX_MESSAGE])])
    try:
        answer = (await connection.send(request)).to_object()
        (entry,) = answer["resources"][0]["config_entries"]
        return int(entry["config_value"])
    except (KafkaError, LookupError, ValueError, TypeError):
        return None
