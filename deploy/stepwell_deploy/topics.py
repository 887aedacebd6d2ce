"""Creation of Stepwell's Kafka topics."""

from __future__ import annotations

from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from stepwell_ingestor.kafka.deadletter_topic import DEADLETTERS_CONFIG
from stepwell_schemas.limits import MAX_EVENT_BYTES, MIB
from stepwell_schemas.settings import KafkaSettings

# A record batch holds an event and its framing.
_EVENTS_CONFIG: Final = {"max.message.bytes": str(MAX_EVENT_BYTES + MIB), "retention.ms": "-1"}


async def create_topics(settings: KafkaSettings, partitions: int, replication: int = 1) -> list[str]:
    """Create the events topic and the dead-letter topic if they are missing; existing ones are not changed.

    Returns:
        The names of the topics that were created.

    Raises:
        aiokafka.errors.KafkaError: when the broker can't be reached or refuses.
    """
    admin = AIOKafkaAdminClient(**settings.kafka_connection())
    await admin.start()
    try:
        topics = [
            NewTopic(settings.events_topic, partitions, replication, topic_configs=_EVENTS_CONFIG),
            NewTopic(settings.deadletters_topic, 1, replication, topic_configs=DEADLETTERS_CONFIG),
        ]
        existing = set(await admin.list_topics())
        missing = [topic for topic in topics if topic.name not in existing]
        answer = await admin.create_topics(missing)
        for topic, code, *message in answer.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"{topic}: {message[0] if message else ''}")
        return [topic.name for topic in missing]
    finally:
        await admin.close()
