"""Decode the records of a batch one by one, where aiokafka's C extension rejects the batch."""

from __future__ import annotations

from collections.abc import Iterator

from aiokafka import TopicPartition
from aiokafka.record.util import decode_varint

from stepwell_ingestor.kafka.record_models import BatchHeader, Record, Unreadable, to_unreadable


def read_each_record(partition: TopicPartition, header: BatchHeader, records: bytes) -> Iterator[Record | Unreadable]:
    """Yield every record of a batch, or what stands for the ones that are corrupt; `records` is not compressed."""
    place, offset = 0, header.base
    for _ in range(header.records):
        try:
            size, begin = decode_varint(bytearray(records[place : place + 10]), 0)
            begin += place
            place = begin + size
            if size < 0 or place > len(records):
                raise ValueError(f"a record announces {size} bytes; {len(records) - begin} are left")
        except Exception as error:
            yield to_unreadable(partition, header, offset, error)
            return
        try:
            record = _parse(partition, header, bytearray(records[begin:place]))
            if record.offset < offset or record.offset >= header.end:
                raise ValueError(f"offset {record.offset} does not follow")
        except Exception as error:
            yield to_unreadable(partition, header, offset, error, last=offset)
        else:
            yield record
            offset = record.offset
        offset += 1


class _Fields:
    """Sequential reader for the fields of one record; raises ValueError or IndexError past its end."""

    def __init__(self, body: bytearray) -> None:
        self._body = body
        self.place = 1  # after the attributes, which are unused

    def number(self) -> int:
        value: int
        value, self.place = decode_varint(self._body, self.place)
        return value

    def text(self) -> bytes | None:
        size = self.number()
        if size < 0:
            return None
        begin, self.place = self.place, self.place + size
        if self.place > len(self._body):
            raise ValueError(f"a field of {size} bytes in a record of {len(self._body)}")
        return bytes(self._body[begin : self.place])


def _parse(partition: TopicPartition, header: BatchHeader, body: bytearray) -> Record:
    fields = _Fields(body)
    timestamp, offset = header.timestamp(fields.number()), header.base + fields.number()
    key, value, count = fields.text(), fields.text(), fields.number()
    headers = []
    for _ in range(count):
        name = fields.text()
        if name is None:
            raise ValueError("a header without a name")
        headers.append((name.decode("utf-8", "replace"), fields.text()))
    return Record(
        partition.topic, partition.partition, offset, timestamp, key, value, tuple(headers), header.leader_epoch
    )
