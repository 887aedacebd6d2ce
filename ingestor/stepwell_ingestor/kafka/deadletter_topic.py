"""The topic of dead letters: its configuration, and its creation if it is missing."""

from __future__ import annotations

from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB

# A dead letter holds the original event, headers and framing.
DEADLETTERS_CONFIG: Final = {"max.message.bytes": str(MAX_EVENT_BYTES + 2 * MIB), "retention.ms": "-1"}


async def create_deadletters_topic(admin: AIOKafkaAdminClient, topic: str, events_topic: str) -> None:
    """Create the topic of dead letters with the replication factor of the events topic.

    Raises:
        KafkaError: if the broker refuses, except because the topic exists by now.
    """
    described = await admin.describe_topics([events_topic])
    replicas = [len(partition["replicas"]) for found in described for partition in found["partitions"]]
    new_topic = NewTopic(topic, 1, min(replicas, default=1), topic_configs=DEADLETTERS_CONFIG)
    answer = await admin.create_topics([new_topic])
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"{name}: {message[0] if message else ''}")
