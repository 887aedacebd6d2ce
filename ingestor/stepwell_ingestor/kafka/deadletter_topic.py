"""Creation of the topic of dead letters if it is missing."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from stepwell_schemas.topics import (
    DEADLETTERS_MAX_MESSAGE_BYTES,
    TopicOptions,
    min_insync_replicas,
    replicas_of,
    topic_config,
)


async def create_deadletters_topic(admin: AIOKafkaAdminClient, topic: str, events_topic: str) -> None:
    """Create the topic of dead letters with the replication factor of the events topic.

    Raises:
        KafkaError: if the broker refuses, except because the topic exists by now.
    """
    described = await admin.describe_topics([events_topic])
    replicas = replicas_of([partition for found in described for partition in found["partitions"]])
    insync = min_insync_replicas(TopicOptions(), replicas)
    config = topic_config(DEADLETTERS_MAX_MESSAGE_BYTES, 0, insync)
    new_topic = NewTopic(topic, 1, replicas, topic_configs=config)
    answer = await admin.create_topics([new_topic])
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"{name}: {message[0] if message else ''}")
