"""The identity of a topic's log: the topic's id, which a topic that is created again does not share, and its cluster.

aiokafka's metadata requests end at version 5, and topic ids come with version 10 (Kafka 2.8). Therefore version 12
(Kafka 3.0) is defined here. Older brokers give no topic id; then the log is recognised by its records.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, NamedTuple
from uuid import UUID

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import IncompatibleBrokerVersion, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_UUID_BYTES: Final = 16
_NO_ID: Final = UUID(int=0)


class LogIdentity(NamedTuple):
    """A topic's log: the ids of its cluster and topic, "" if the broker gives none, and its number of partitions."""

    cluster_id: str
    topic_id: str
    partitions: int


class LogExtent(NamedTuple):
    """The offsets [begin, end) of a partition in Kafka."""

    begin: int
    end: int


class _Uuid(AbstractType):  # type: ignore[misc]
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(_UUID_BYTES))


_TEXT: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)


class _TopicIdResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("topic_authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _TopicIdRequestStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _TopicIdResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _TopicIdRequest(Request[_TopicIdRequestStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_TopicIdRequestStruct]) -> _TopicIdRequestStruct:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, {})


async def describe_log(admin: AIOKafkaAdminClient, topic: str) -> LogIdentity:
    """Return the identity of a topic's log, without creating the topic.

    Raises:
        KafkaError: if no broker answers, or if the topic does not exist.
    """
    try:
        answer: dict[str, Any] = (await admin._send_request(_TopicIdRequest(topic))).to_object()
    except (IncompatibleBrokerVersion, NotImplementedError):
        answer = (await admin._get_cluster_metadata([topic])).to_object()
    (described,) = answer["topics"]
    if described["error_code"]:
        raise for_code(described["error_code"])(topic)
    topic_id = described.get("topic_id", _NO_ID)
    return LogIdentity(
        answer.get("cluster_id") or "", "" if topic_id == _NO_ID else str(topic_id), len(described["partitions"])
    )
