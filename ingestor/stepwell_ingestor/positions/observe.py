"""Gather the evidence for a decision: what is stored, what the group has committed, and what the log holds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

from aiokafka import TopicPartition

from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.checksums import boundary_after
from stepwell_ingestor.positions.cuts import latest_leader
from stepwell_ingestor.positions.decide import may_have_lost_a_plan, next_check
from stepwell_ingestor.positions.evidence import Evidence
from stepwell_ingestor.positions.models import LogPosition, parse_plan
from stepwell_ingestor.positions.stored import positions_by_partition, read_positions, read_reached
from stepwell_schemas.clickhouse.store import Store


async def observe(
    kafka: Kafka, store: Store, partitions: Collection[TopicPartition], void_plans: Collection[TopicPartition]
) -> dict[TopicPartition, Evidence]:
    """Return the evidence for some partitions of one topic; `void_plans` are those whose plan was found to be void.

    Partitions whose commit or position changes meanwhile are left out: another member owns them now, or has just owned
    them, and parts of the evidence would be of different times. That happens to a member that is paused here. So are
    all of them if the tables have their first position meanwhile: the runs that were found may be those of its
    partition, and not of a time before positions.

    Raises:
        KafkaError: if a broker does not answer.
        StoreError: if ClickHouse can't be read.
    """
    wanted = sorted(partitions)
    log = await kafka.describe_log(wanted[0].topic)
    extents = await kafka.extents(wanted)
    committed = await kafka.committed(wanted)
    stored = await asyncio.to_thread(read_positions, store)
    evidences = {
        partition: Evidence(
            partition.topic,
            partition.partition,
            log,
            extents[partition],
            stored.positions.get(partition),
            [position for place, position in stored.positions.items() if place != partition],
            stored.holds_runs,
            stored.reached,
            adopts=stored.adopts,
            committed=committed[partition].offset,
            plan=parse_plan(committed[partition].plan),
            by_hand=committed[partition].by_hand,
            plan_is_void=partition in void_plans,
        )
        for partition in wanted
    }
    if any(may_have_lost_a_plan(evidence) for evidence in evidences.values()):
        reached = await asyncio.to_thread(read_reached, store, log.partitions)
        evidences = {
            partition: replace(evidence, reached_here=reached.get(partition.partition, 0))
            if may_have_lost_a_plan(evidence)
            else evidence
            for partition, evidence in evidences.items()
        }
    while places := _places(evidences):
        records = await kafka.records({partition: end - 1 for partition, end in places.items()})
        for partition, end in places.items():
            known, record = evidences[partition], records[partition]
            evidences[partition] = replace(
                known,
                checked={**known.checked, end: _is_stored(known.own, end, record)},
                leader_epoch=latest_leader(known.leader_epoch, [] if record is None else [record]),
            )
    committed_now = await kafka.committed(wanted)
    positions_now = await asyncio.to_thread(positions_by_partition, store)
    if positions_now and not stored.positions:
        return {}
    return {
        partition: evidence
        for partition, evidence in evidences.items()
        if committed_now[partition] == committed[partition] and positions_now.get(partition) == evidence.own
    }


def _places(evidences: Mapping[TopicPartition, Evidence]) -> dict[TopicPartition, int]:
    checks = {partition: next_check(evidence) for partition, evidence in evidences.items()}
    return {partition: end for partition, end in checks.items() if end is not None}


def _is_stored(own: LogPosition | None, end: int, record: Message | None) -> bool:
    """Return True if a record is the one that was stored before the boundary at `end`."""
    return own is not None and record is not None and boundary_after(record) in own.boundaries and record.offset < end
