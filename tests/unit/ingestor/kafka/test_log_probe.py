"""Single records of a log, read by several tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from stepwell_ingestor.kafka.log_probe import LogProbe
from stepwell_ingestor.kafka.record_models import Record
from stepwell_ingestor.messages import Message

pytestmark = pytest.mark.anyio

PARTITIONS = [TopicPartition("events", number) for number in range(2)]


class Consumer:
    """A consumer without a group: it reads what is assigned when the answer comes."""

    def __init__(self, **_: Any) -> None:
        self.positions: dict[TopicPartition, int] = {}

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, 0)

    def pause(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            del self.positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def getmany(self, *partitions: TopicPartition, **_: Any) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        return {
            partition: [Record("events", partition.partition, self.positions[partition], 0, None, b"", (), 3)]
            for partition in partitions
        }


async def test_records_are_read_for_one_caller_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell_ingestor.kafka.log_probe.RecordConsumer", Consumer)
    probe = LogProbe({}, cast("AIOKafkaAdminClient", None))
    one, two = await asyncio.gather(probe.records({PARTITIONS[0]: 5}), probe.records({PARTITIONS[1]: 7}))
    assert one == {PARTITIONS[0]: Message(5, 0, None, b"", leader_epoch=3)}
    assert two == {PARTITIONS[1]: Message(7, 0, None, b"", leader_epoch=3)}
