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
from stepwell_ingestor.positions.decide import Evidence, next_check
from stepwell_ingestor.positions.models import LogPosition, parse_plan
from stepwell_ingestor.positions.stored import read_positions
from stepwell_schemas.clickhouse.store import Store


async def observe(
    kafka: Kafka, store: Store, partitions: Collection[TopicPartition], void_plans: Collection[TopicPartition]
) -> dict[TopicPartition, Evidence]:
    """Return the evidence for some partitions of one topic; `void_plans` are those whose plan was found to be void.

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
            stored.adopts,
            committed[partition].offset,
            parse_plan(committed[partition].plan),
            partition in void_plans,
        )
        for partition in wanted
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
    return evidences


def _places(evidences: Mapping[TopicPartition, Evidence]) -> dict[TopicPartition, int]:
    checks = {partition: next_check(evidence) for partition, evidence in evidences.items()}
    return {partition: end for partition, end in checks.items() if end is not None}


def _is_stored(own: LogPosition | None, end: int, record: Message | None) -> bool:
    """Return True if a record is the one that was stored before the boundary at `end`."""
    return own is not None and record is not None and boundary_after(record) in own.boundaries and record.offset < end
