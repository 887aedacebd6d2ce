"""Topics with the default options."""

from __future__ import annotations

from stepwell_deploy.topics import set_up_topics
from stepwell_schemas.settings import KafkaSettings
from stepwell_schemas.topics import TopicOptions


async def create_topics(settings: KafkaSettings, partitions: int) -> list[str]:
    """Create the missing topics, and return their names."""
    return (await set_up_topics(settings, partitions, partitions, TopicOptions())).created
