"""Creation of Stepwell's Kafka topics, and the comparison of existing ones with the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from stepwell_schemas.settings import KafkaSettings
from stepwell_schemas.topics import (
    ExistingTopic,
    TopicDifference,
    TopicOptions,
    TopicSpec,
    check_partitions,
    replicas_of,
    topic_differences,
    topic_specs,
)

_DESCRIBED_AGAIN: Final = 10
_DESCRIBE_SECONDS: Final = 0.2


class TopicReport(NamedTuple):
    """The topics that were created, and what differs in those that existed."""

    created: list[str]
    differences: list[TopicDifference]


async def set_up_topics(
    settings: KafkaSettings, partitions: int, required: int | None, options: TopicOptions
) -> TopicReport:
    """Create the events topic and the dead-letter topic if they are missing; existing ones are compared, not changed.

    Args:
        settings: Kafka, and the names of the topics.
        partitions: the partitions of a new events topic.
        required: the partitions that an existing events topic must have; None: any number.
        options: replicas and retention.

    Raises:
        TopicError: if the options can't be met, or the events topic has another number of partitions than required.
            Nothing was created then.
        aiokafka.errors.KafkaError: when the broker can't be reached or refuses.
    """
    admin = AIOKafkaAdminClient(**settings.kafka_connection())
    await admin.start()
    try:
        brokers = len((await admin.describe_cluster())["brokers"])
        specs = topic_specs(settings.events_topic, settings.deadletters_topic, required, options, brokers)
        existing = await _describe(admin, [spec.name for spec in specs])
        differences = _compare(specs, existing, settings.events_topic)
        created = []
        for spec in specs:
            if spec.name in existing:
                continue
            if await _create(admin, spec._replace(partitions=spec.partitions or partitions)):
                created.append(spec.name)
            else:
                differences += _compare([spec], await _describe_hidden(admin, spec.name), settings.events_topic)
        return TopicReport(created, differences)
    finally:
        await admin.close()


def _compare(
    specs: Sequence[TopicSpec], existing: Mapping[str, ExistingTopic], events_topic: str
) -> list[TopicDifference]:
    differences: list[TopicDifference] = []
    for spec in specs:
        if (topic := existing.get(spec.name)) is not None:
            if spec.name == events_topic:
                check_partitions(spec, topic)
            differences += topic_differences(spec, topic)
    return differences


async def _describe(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, ExistingTopic]:
    """Return the existing topics among `names`."""
    # Describing a single topic would create it.
    described = {topic["topic"]: topic for topic in await admin.describe_topics() if topic["topic"] in names}
    if not described:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in described]
    configs: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs(resources):
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(f"{name}: {message}")
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return {
        name: ExistingTopic(name, len(topic["partitions"]), replicas_of(topic["partitions"]), configs.get(name, {}))
        for name, topic in described.items()
    }


async def _describe_hidden(admin: AIOKafkaAdminClient, name: str) -> Mapping[str, ExistingTopic]:
    """Return a topic that exists and was not described: it was created a moment ago, or may not be described."""
    for _ in range(_DESCRIBED_AGAIN):
        await asyncio.sleep(_DESCRIBE_SECONDS)
        if found := await _describe(admin, [name]):
            return found
    return {}


async def _create(admin: AIOKafkaAdminClient, spec: TopicSpec) -> bool:
    """Create a topic; return False if it exists."""
    topic = NewTopic(spec.name, spec.partitions or 1, spec.replicas, topic_configs=dict(spec.config))
    answer = await admin.create_topics([topic])
    ((name, code, *message),) = answer.topic_errors
    error = for_code(code)
    if code and error is not TopicAlreadyExistsError:
        raise error(f"{name}: {message[0] if message else ''}")
    return not code
