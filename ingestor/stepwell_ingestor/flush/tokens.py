"""The plan of a flush over exact records, and the deduplication tokens of its inserts."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import TopicPartition

from stepwell_ingestor.errors import PlanError
from stepwell_ingestor.messages import Message
from stepwell_ingestor.positions.checksums import records_checksum
from stepwell_ingestor.positions.models import PlanMark


class FlushRange(NamedTuple):
    """The logical offsets [first, end) of a flush, and a text that tells its records from others at these offsets."""

    first: int
    end: int
    records: str


def make_plan(messages: Sequence[Message], end: int, epoch: int, found: PlanMark | None) -> PlanMark:
    """Return the plan of a flush, which is the one that was found, if any.

    Raises:
        PlanError: if that one was made for other records.
    """
    checksum = records_checksum(messages)
    if found is None:
        return PlanMark(end, checksum, epoch)
    if found.checksum not in {None, checksum}:
        raise PlanError(f"the records of the planned flush [{messages[0].offset}, {end}) are not those in the log")
    return found


def flush_range(messages: Sequence[Message], plan: PlanMark, base: int) -> FlushRange:
    """Return the range of a planned flush, given its messages with Kafka's offsets."""
    first = messages[0]
    if plan.checksum is None:
        # As the version that made this plan names its inserts, some of which may have been made.
        records = f"{first.timestamp}:{zlib.crc32(first.value):08x}"
    else:
        records = f"{plan.epoch}:{plan.checksum:08x}"
    return FlushRange(first.offset + base, plan.end + base, records)


def insert_token(partition: TopicPartition, flush: FlushRange, table: str) -> str:
    """Return the deduplication token of one table's rows in a flush of a partition."""
    return f"{partition.topic}:{partition.partition}:{flush.first}:{flush.end}:{flush.records}:{table}"
