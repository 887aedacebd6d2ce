"""Assigned partitions: where they begin, what is committed for it, and when they begin again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
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
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.kafka.committed_offsets import CommittedOffset, commit_metadata, read_commit
from stepwell_ingestor.kafka.log_metadata import LogExtent, LogIdentity
from stepwell_ingestor.log_watch import LogWatch
from stepwell_ingestor.messages import Message
from stepwell_ingestor.partitions import AssignedPartitions
from stepwell_ingestor.positions.checksums import boundary_after
from stepwell_ingestor.positions.models import LogPosition
from stepwell_ingestor.positions.stored import _HELD, _REACHED, position_row
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.media_store import MediaStore

pytestmark = pytest.mark.anyio

_ALARM = "stepwell_ingestor_partitions_alarm"
LOG = LogIdentity("cluster", "id", 2)
PARTITIONS = [TopicPartition("events", number) for number in range(2)]
STORED = LogPosition("events", 0, LOG, "begun", end=5, holds_rows=True)


class Outside(Store):
    """Kafka and ClickHouse; `away` partitions have no leader, `positions` are stored, `committed` is the group's.

    `begin`: where each log begins. `held`: the record that each log has where one is looked at; `looks`: the offsets of
    these.
    """

    def __init__(self, *positions: LogPosition) -> None:
        self.log = LOG
        self.away: set[TopicPartition] = set()
        self.group = dict.fromkeys(PARTITIONS, CommittedOffset(None, ""))
        self.refuses = False
        self.begin = 0
        self.reached = 0
        self.done: list[Any] = []
        self.looks: list[dict[TopicPartition, int]] = []
        self.held: dict[TopicPartition, Message | None] = {}
        self._rows = list[dict[str, Any]]()
        for position in positions:
            self.store(position)

    def store(self, position: LogPosition) -> None:
        """Store a position."""
        self._rows = [*self._rows, *position_row(position).to_pylist()]

    def query(self, sql: str, parameters: Any = None) -> Any:
        if sql == _REACHED:
            return pa.table({"partition": [0], "reached": [self.reached]})
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
        return dict.fromkeys(partitions, LogExtent(self.begin, 9))

    async def records(self, places: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Message | None]:
        self.looks.append(dict(places))
        return {partition: self.held.get(partition) for partition in places}

    async def committed(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, CommittedOffset]:
        return {partition: self.group[partition] for partition in partitions}

    async def commit(self, partition: TopicPartition, offset: int, plan: str) -> None:
        if self.refuses:
            raise CommitFailedError
        self.done.append(("commit", partition.partition, offset))
        self.group[partition] = read_commit(offset, commit_metadata(plan))

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


async def test_the_end_of_a_stored_flush_is_committed_if_its_records_have_expired() -> None:
    outside = Outside(STORED)
    outside.group[PARTITIONS[0]], outside.begin = CommittedOffset(0, "5:00000001:0"), 3
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    await find(owned)
    assert outside.done == [("commit", 0, 5), ("seek", 0, 5)]
    assert owned.partitions[PARTITIONS[0]].buffer.start == 5


async def test_an_offset_that_was_set_by_hand_stays_known_as_such_until_a_position_is_stored() -> None:
    outside = Outside(STORED)
    outside.reached = 40
    seen: list[CommittedOffset] = []
    outside.insert = lambda *_: seen.append(outside.group[PARTITIONS[0]])  # type: ignore[method-assign]
    outside.group[PARTITIONS[0]] = CommittedOffset(5, "", by_hand=True)
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    await find(owned)
    assert seen == [CommittedOffset(5, "", by_hand=True)]
    assert outside.group[PARTITIONS[0]] == CommittedOffset(5, "")


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


def commits(outside: Outside) -> None:
    outside.group[PARTITIONS[0]] = CommittedOffset(5, "")


@pytest.mark.parametrize("act", [commits, lambda outside: outside.store(STORED)], ids=["commit", "position"])
async def test_evidence_that_changes_while_it_is_read_decides_nothing(act: Callable[[Outside], None]) -> None:
    # As for a member that is paused there, while another one begins the partition.
    outside, acted = Outside(), list[str]()
    query = outside.query

    def query_paused(sql: str, parameters: Any = None) -> Any:
        answer = query(sql, parameters)
        if sql == _HELD and not acted:
            acted.append(sql)
            act(outside)
        return answer

    outside.query = query_paused  # type: ignore[method-assign]
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    await find(owned)
    assert outside.done == []
    for _ in range(2):
        await find(owned)
    assert owned.partitions[PARTITIONS[0]].ready


async def test_runs_of_a_partition_that_begins_meanwhile_are_not_of_a_time_before_positions() -> None:
    outside, acted = Outside(), list[str]()
    query = outside.query

    def query_paused(sql: str, parameters: Any = None) -> Any:
        if sql == _HELD and not acted:
            acted.append(sql)
            outside.store(replace(STORED, partition=1))
        return query(sql, parameters)

    outside.query = query_paused  # type: ignore[method-assign]
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    for _ in range(3):
        await find(owned)
    position = owned.partitions[PARTITIONS[0]].flusher.position
    assert position is not None
    assert (position.reason, position.epoch) == ("begun", 0)


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


def read_by(leader: int, *offsets: int) -> list[Message]:
    return [Message(offset, 0, None, b"", leader_epoch=leader) for offset in offsets]


async def begun(outside: Outside) -> AssignedPartitions:
    """Return the partitions of a member once the first one continues."""
    owned = assigned(outside)
    await owned.on_partitions_assigned({PARTITIONS[0]})
    await find(owned)
    assert owned.partitions[PARTITIONS[0]].ready
    return owned


async def test_the_first_record_of_a_later_leader_begins_the_partition_again_once() -> None:
    owned = await begun(Outside())
    owned.add(PARTITIONS[0], read_by(3, 0, 1), 0.0)
    owned.add(PARTITIONS[0], read_by(3, 2) + read_by(4, 3), 0.0)
    assert not owned.partitions[PARTITIONS[0]].stale, "one fetch is one view of the log"
    owned.add(PARTITIONS[0], read_by(5, 4), 0.0)
    assert owned.partitions[PARTITIONS[0]].stale
    owned.restart_partition(PARTITIONS[0])
    await find(owned)
    for leader, offset in ((3, 0), (4, 1), (5, 2)):
        owned.add(PARTITIONS[0], read_by(leader, offset), 0.0)
        assert not owned.partitions[PARTITIONS[0]].stale
    owned.add(PARTITIONS[0], read_by(6, 3), 0.0)
    assert owned.partitions[PARTITIONS[0]].stale


async def test_the_leader_of_the_last_stored_record_is_known_from_the_beginning() -> None:
    record = Message(4, 0, None, b"", leader_epoch=7)
    outside = Outside(STORED.advance(5, boundary_after(record), holds_rows=True))
    outside.held = {PARTITIONS[0]: record}
    owned = await begun(outside)
    assert outside.looks == [{PARTITIONS[0]: 4}]
    owned.add(PARTITIONS[0], read_by(8, 5), 0.0)
    assert owned.partitions[PARTITIONS[0]].stale


async def test_a_log_that_was_cut_is_read_again_from_where_it_agrees() -> None:
    earlier, last = Message(2, 0, None, b"2"), Message(4, 0, None, b"4")
    stored = STORED.advance(3, boundary_after(earlier), holds_rows=True)
    outside = Outside(stored.advance(5, boundary_after(last), holds_rows=True))
    outside.held = {PARTITIONS[0]: last}
    owned = await begun(outside)
    owned.add(PARTITIONS[0], read_by(1, 5), 0.0)

    async def records(places: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Message | None]:
        return {
            partition: {2: earlier}.get(offset, Message(offset, 0, None, b"new"))
            for partition, offset in places.items()
        }

    outside.records = records  # type: ignore[method-assign]
    owned.add(PARTITIONS[0], read_by(2, 6), 0.0)
    owned.restart_partition(PARTITIONS[0])
    await find(owned)
    part = owned.partitions[PARTITIONS[0]]
    assert part.flusher.position is not None
    assert (part.flusher.position.reason, part.flusher.position.epoch, part.buffer.start) == ("log_cut", 1, 3)


async def test_leaders_of_a_topic_that_was_created_again_begin_again() -> None:
    outside = Outside(STORED)
    owned = await begun(outside)
    owned.add(PARTITIONS[0], read_by(7, 5), 0.0)
    outside.log = LOG._replace(topic_id="again")
    owned.restart_partition(PARTITIONS[0])
    await find(owned)
    owned.add(PARTITIONS[0], read_by(0, 0), 0.0)
    assert not owned.partitions[PARTITIONS[0]].stale
    owned.add(PARTITIONS[0], read_by(1, 1), 0.0)
    assert owned.partitions[PARTITIONS[0]].stale


async def test_an_idle_partition_whose_log_was_cut_begins_again() -> None:
    last = Message(4, 0, None, b"")
    outside = Outside(STORED.advance(5, boundary_after(last), holds_rows=True))
    outside.held = {PARTITIONS[0]: last}
    owned = await begun(outside)
    watch, known = LogWatch(cast("Kafka", outside), outside, "events", owned), len(outside.looks)
    for looks in (0, 1, 2):
        await watch._look()
        assert len(outside.looks) == known + looks, "one small fetch for each look at a partition that rests"
    assert not owned.partitions[PARTITIONS[0]].stale
    outside.held = {PARTITIONS[0]: last._replace(value=b"other")}
    with capture_logs() as logs:
        await watch._look()
    assert owned.partitions[PARTITIONS[0]].stale
    assert [(line["event"], line["end"]) for line in logs] == [("log_end_lost", 5)]


async def test_a_partition_that_began_again_during_a_look_is_left_alone() -> None:
    last = Message(4, 0, None, b"")
    outside = Outside(STORED.advance(5, boundary_after(last), holds_rows=True))
    outside.held = {PARTITIONS[0]: last}
    owned = await begun(outside)
    watch = LogWatch(cast("Kafka", outside), outside, "events", owned)
    await watch._look()

    async def records(places: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, Message | None]:
        owned.restart_partition(PARTITIONS[0])
        return dict.fromkeys(places)

    outside.records = records  # type: ignore[method-assign]
    await watch._look()
    assert not owned.partitions[PARTITIONS[0]].stale
