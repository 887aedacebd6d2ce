"""Assigned partitions: where they begin, what is committed for it, and when they begin again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, LeaderNotAvailableError
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from stepwell_ingestor.flush.deadletter_delivery import LetterDelivery
from stepwell_ingestor.flush.flusher import Flusher
from stepwell_ingestor.flush.state_memory import StateMemory
from stepwell_ingestor.kafka.client import CommittedOffset, Kafka
from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.messages import Message
from stepwell_ingestor.partitions import AssignedPartitions
from stepwell_ingestor.positions.models import LogPosition
from stepwell_ingestor.positions.stored import _HELD, position_row
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.media_store import MediaStore

pytestmark = pytest.mark.anyio

_ALARM = "stepwell_ingestor_partitions_alarm"
LOG = LogIdentity("cluster", "id", 2)
PARTITIONS = [TopicPartition("events", number) for number in range(2)]
STORED = LogPosition("events", 0, LOG, "begun", end=5, holds_rows=True)


class Outside(Store):
    """Kafka and ClickHouse; `away` partitions have no leader, `positions` are stored, `committed` is the group's."""

    def __init__(self, *positions: LogPosition) -> None:
        self.log = LOG
        self.away: set[TopicPartition] = set()
        self.group = dict.fromkeys(PARTITIONS, CommittedOffset(None, ""))
        self.refuses = False
        self.done: list[Any] = []
        self._rows = [row for position in positions for row in position_row(position).to_pylist()]

    def query(self, sql: str, parameters: Any = None) -> Any:
        return pa.table({"runs": [len(self._rows)], "reached": [0]}) if sql == _HELD else self

    def to_pylist(self) -> list[dict[str, Any]]:
        """Return the stored positions."""
        return self._rows

    def insert(self, table: str, rows: pa.Table, token: str | None = None) -> None:
        self.done.append((table, rows.column("partition")[0].as_py(), rows.column("end_offset")[0].as_py()))

    async def describe_log(self, topic: str) -> LogIdentity:
        return self.log

    async def extents(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, LogExtent]:
        if self.away & set(partitions):
            raise LeaderNotAvailableError
        return dict.fromkeys(partitions, LogExtent(0, 9))

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        return {partition: self.group[partition] for partition in partitions}

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        if self.refuses:
            raise CommitFailedError
        self.done.append(("commit", partition.partition, offset))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.done.append(("seek", partition.partition, offset))


def assigned(outside: Outside) -> AssignedPartitions:
    kafka = cast("Kafka", outside)

    def make_flusher(partition: TopicPartition) -> Flusher:
        return Flusher(
            partition, store=outside, media=MediaStore("memory://"), kafka=kafka,
            letters=LetterDelivery(kafka, "dead", 0), codec=Codec(), states=StateMemory(0).cache(), retry_seconds=0.1,
        )  # fmt: skip

    return AssignedPartitions(kafka, outside, make_flusher)


async def find(owned: AssignedPartitions) -> None:
    """Let the search come to its end."""
    owned.find_positions()
    if owned._finding is not None:
        await asyncio.wait({owned._finding})
    owned.find_positions()


async def test_a_partition_begins_where_the_tables_end() -> None:
    outside = Outside(STORED)
    outside.group[PARTITIONS[0]] = CommittedOffset(5, "")
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    await find(owned)
    assert outside.done == [("seek", 0, 5)]
    assert owned.partitions[PARTITIONS[0]].buffer.start == 5


async def test_a_corrected_offset_is_committed_after_the_position_is_stored_by_the_owner() -> None:
    outside = Outside(STORED)
    outside.group[PARTITIONS[0]] = CommittedOffset(8, "")
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    await find(owned)
    assert outside.done == [("commit", 0, 8), ("log_positions", 0, 5), ("commit", 0, 5), ("seek", 0, 5)]


async def test_who_lost_the_partition_stores_no_position() -> None:
    outside = Outside(STORED)
    outside.group[PARTITIONS[0]] = CommittedOffset(8, "")
    outside.refuses = True
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    await find(owned)
    assert outside.done == []
    assert not owned.partitions[PARTITIONS[0]].ready
    await owned.on_partitions_revoked({PARTITIONS[0]})


async def test_a_partition_without_a_leader_keeps_no_other_waiting() -> None:
    outside = Outside()
    outside.away = {PARTITIONS[0]}
    owned = assigned(outside)
    await owned.on_partitions_assigned(set(PARTITIONS))
    for _ in range(3):
        await find(owned)
    assert [owned.partitions[partition].ready for partition in PARTITIONS] == [False, True]
    outside.away = set()
    for _ in range(3):
        await find(owned)
    assert all(part.ready for part in owned.partitions.values())
    owned.close()


async def test_added_partitions_hold_all_and_raise_an_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell_ingestor.partitions._HELD_SECONDS", 0.0)
    outside = Outside(STORED)
    outside.log = LOG._replace(partitions=3)
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    with capture_logs() as logs:
        for _ in range(3):
            await find(owned)
    assert outside.done == []
    assert not owned.partitions[PARTITIONS[0]].ready
    assert [(line["event"], line["stored"], line["present"]) for line in logs] == [("partitions_added", 2, 3)]
    assert REGISTRY.get_sample_value(_ALARM) == 1
    outside.log = LOG
    for _ in range(3):
        await find(owned)
    assert owned.partitions[PARTITIONS[0]].ready
    assert REGISTRY.get_sample_value(_ALARM) == 0
    owned.close()


async def test_offsets_that_go_back_begin_the_partition_again() -> None:
    outside = Outside()
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    await find(owned)
    owned.add(PARTITIONS[0], [Message(offset, 0, None, b"") for offset in (0, 1, 4)], 0.0)
    assert not owned.partitions[PARTITIONS[0]].stale
    owned.add(PARTITIONS[0], [Message(4, 0, None, b"")], 0.0)
    assert owned.partitions[PARTITIONS[0]].stale
    owned.restart_partition(PARTITIONS[0])
    assert not owned.partitions[PARTITIONS[0]].ready
    assert owned.partitions[PARTITIONS[0]].buffer.is_empty
