"""Recognise that a log has lost its end under a running consumer, and has grown again; pure.

A broker that lost its last records, or a replica without them that became leader, appends new records at offsets that
a consumer has passed. The consumer continues at its own offset, and does not notice. Two things show it:

- Kafka stamps each record with its leader epoch. A log is cut only if its leader changes, and the records that follow
  have a later epoch. So if the next record has one, the records before it may be others by now.
- If nothing is read after the cut, the last stored record is no longer in the log.

Neither is a proof, or says where the log was cut: `decide` compares what is stored when the partition is started again.
"""

from __future__ import annotations

from collections.abc import Sequence

from stepwell_ingestor.kafka.log_metadata import LogExtent
from stepwell_ingestor.messages import NO_LEADER_EPOCH, Message
from stepwell_ingestor.positions.checksums import boundary_after
from stepwell_ingestor.positions.models import Boundary, LogPosition


def has_later_leader(known: int, messages: Sequence[Message]) -> bool:
    """Return True if messages that were fetched together are of a later leader than the records before them.

    One fetch is a consistent view of the log: leaders may change within it. `known`: the latest leader epoch before it.
    """
    return bool(messages) and known != NO_LEADER_EPOCH and messages[0].leader_epoch > known


def latest_leader(known: int, messages: Sequence[Message]) -> int:
    """Return the latest leader epoch after messages were read."""
    return max([known, *(message.leader_epoch for message in messages[-1:])])


def last_boundary(position: LogPosition, extent: LogExtent) -> Boundary | None:
    """Return the boundary of the last stored record, None if there is none or the log can't have it any more.

    If retention has removed the record, nothing tells whether the log was cut before.
    """
    if not position.boundaries or not extent.begin < position.boundaries[-1].end <= extent.end:
        return None
    return position.boundaries[-1]


def is_cut(position: LogPosition, extent: LogExtent, record: Message | None) -> bool:
    """Return True if a log ends before what is stored of it, or its record at the last boundary is another one.

    Compaction keeps the last record of each key, and so the last one that is stored, unless later ones follow.

    Args:
        position: what was stored before the log was looked at.
        extent: the offsets of the log.
        record: the record before the end of `last_boundary`, or the next one, None if there is none.
    """
    if extent.end < position.end:
        return True
    boundary = last_boundary(position, extent)
    return boundary is not None and (record is None or boundary_after(record) != boundary)
