"""Topics on a real broker: they are created as set, compared afterwards, and never changed."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stepwell_deploy.topics import TopicReport, set_up_topics
from stepwell_schemas.errors import TopicError
from stepwell_schemas.settings import KafkaSettings
from stepwell_schemas.topics import TopicOptions
from support.servers.sdk import eventually
from support.servers.stack import limit_topic


@pytest.fixture
def kafka(broker: str) -> KafkaSettings:
    """Settings with names of topics that do not exist."""
    name = uuid.uuid4().hex[:8]
    return KafkaSettings(
        kafka_bootstrap_servers=broker, events_topic=f"events-{name}", deadletters_topic=f"letters-{name}"
    )


def set_up(kafka: KafkaSettings, required: int | None = None, **options: int) -> TopicReport:
    return asyncio.run(set_up_topics(kafka, required or 4, required, TopicOptions(**options)))


async def described(kafka: KafkaSettings) -> dict[str, dict[str, Any]]:
    admin = AIOKafkaAdminClient(**kafka.kafka_connection())
    await admin.start()
    try:
        names = {kafka.events_topic, kafka.deadletters_topic}
        return {topic["topic"]: topic for topic in await admin.describe_topics() if topic["topic"] in names}
    finally:
        await admin.close()


def test_topics_are_created_as_set_and_do_not_differ_afterwards(kafka: KafkaSettings) -> None:
    options = {"events_retention_days": 30, "deadletters_partitions": 2}
    assert set_up(kafka, 6, **options) == TopicReport([kafka.events_topic, kafka.deadletters_topic], [])

    def partitions() -> dict[str, int]:
        return {name: len(topic["partitions"]) for name, topic in asyncio.run(described(kafka)).items()}

    # A busy broker acknowledges a topic before it describes it.
    eventually(partitions, {kafka.events_topic: 6, kafka.deadletters_topic: 2})
    assert set_up(kafka, 6, **options) == TopicReport([], [])
    # Without a number that was set, the existing one is right.
    assert set_up(kafka, **options) == TopicReport([], [])


def test_what_differs_is_reported_and_stays(kafka: KafkaSettings, broker: str) -> None:
    set_up(kafka, events_retention_days=1)
    asyncio.run(limit_topic(broker, kafka.events_topic, 1_000_000))

    def reported() -> set[tuple[str, str, str]]:
        return {(one.topic, one.name, one.present) for one in set_up(kafka, events_retention_days=30).differences}

    # `limit_topic` replaces the whole configuration, so that the broker's week of retention is back.
    expected = {
        (kafka.events_topic, "max.message.bytes", "1000000"),
        (kafka.events_topic, "retention.ms", "604800000"),
    }
    # A busy broker acknowledges a configuration before it describes it.
    eventually(reported, expected)
    assert reported() == expected


@pytest.mark.parametrize("partitions", [2, 6])
def test_another_number_of_partitions_is_refused_and_nothing_is_created(kafka: KafkaSettings, partitions: int) -> None:
    async def create_events() -> None:
        admin = AIOKafkaAdminClient(**kafka.kafka_connection())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(kafka.events_topic, 4, 1)])
        finally:
            await admin.close()

    asyncio.run(create_events())
    with pytest.raises(TopicError):
        set_up(kafka, partitions)
    topics = asyncio.run(described(kafka))
    assert list(topics) == [kafka.events_topic]
    assert len(topics[kafka.events_topic]["partitions"]) == 4


def test_more_replicas_than_brokers_are_refused(kafka: KafkaSettings) -> None:
    with pytest.raises(TopicError):
        set_up(kafka, replication_factor=3)
    assert asyncio.run(described(kafka)) == {}
