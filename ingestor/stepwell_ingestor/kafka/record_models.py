"""Records of a topic, offsets that can't be read, and the header of a record batch."""

from __future__ import annotations

from typing import Final, NamedTuple

from aiokafka import TopicPartition

from stepwell_ingestor.messages import NO_LEADER_EPOCH

DETAIL_CHARS: Final = 300
"""Characters of an error that are kept as the reason why offsets can't be read."""
_LOG_APPEND_TIME: Final = 0x08


class Record(NamedTuple):
    """A record of a topic, with aiokafka's field names, and the leader epoch of its batch."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    leader_epoch: int = NO_LEADER_EPOCH


class Unreadable(NamedTuple):
    """Offsets [first, offset] that can't be read, with the reason; the reader continues after `offset`."""

    topic: str
    partition: int
    first: int
    offset: int
    timestamp: int
    detail: str
    leader_epoch: int = NO_LEADER_EPOCH


class BatchHeader(NamedTuple):
    """The header of a record batch, with Kafka's fields in their order."""

    base: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int

    @property
    def end(self) -> int:
        """The offset after the batch."""
        return self.base + max(self.last_delta, 0) + 1

    def timestamp(self, delta: int) -> int:
        """Return the timestamp of a record, in milliseconds; `delta` is its distance from the batch's first."""
        if self.attributes & _LOG_APPEND_TIME:
            return self.max_timestamp
        return self.first_timestamp + delta


def to_unreadable(
    partition: TopicPartition, header: BatchHeader, first: int, error: Exception, last: int | None = None
) -> Unreadable:
    """Return what stands for the offsets from `first` to `last`, by default the last one of the batch."""
    last = max(header.end - 1, first) if last is None else last
    detail = f"{type(error).__name__}: {error}"[:DETAIL_CHARS]
    return Unreadable(
        partition.topic, partition.partition, first, last, header.max_timestamp, detail, header.leader_epoch
    )
