"""Decode Kafka's record batches such that no content can stop the reader.

aiokafka raises an exception for a record that it can't parse and decompresses without a limit. Here, every offset of
the log becomes either a record or part of an `Unreadable`, which has a range of offsets and the reason:

- A header name that is not UTF-8 is decoded with replacement characters.
- A record that is corrupt within its own length is skipped alone.
- If a record's length is corrupt, the rest of the batch is skipped.
- If the batch itself is corrupt (checksum, codec, compressed data, size), the whole batch is skipped.

aiokafka's C extension decodes the batches; only what it rejects is decoded in Python.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from stepwell_ingestor.kafka.decompression import decompress
from stepwell_ingestor.kafka.record_models import DETAIL_CHARS, BatchHeader, Record, Unreadable, to_unreadable
from stepwell_ingestor.kafka.single_records import read_each_record
from stepwell_schemas.limits import MAX_BATCH_BYTES

_PREFIX: Final = struct.Struct(">qi")
_HEADER: Final = struct.Struct(">qiibIhiqqqhii")
_LEGACY: Final = struct.Struct(">qiIbb")
_MAGIC_AT: Final = 16
_ATTRIBUTES_AT: Final = 21
_MAGIC: Final = 2
_CODEC_MASK: Final = 0x07
_CONTROL: Final = 0x20


class RecordBatches:
    """The batches in the bytes of a fetch; replaces aiokafka's `MemoryRecords`."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data or b"")

    def has_next(self) -> bool:
        """Return True if there are batches."""
        return len(self._data) >= _PREFIX.size

    def size_in_bytes(self) -> int:
        """Return the size of the fetch."""
        return len(self._data)

    def batches(self) -> Iterator[memoryview]:
        """Yield each complete batch; the last one may be truncated by the fetch size, and is fetched again."""
        place = 0
        while place + _PREFIX.size <= len(self._data):
            size = _PREFIX.size + max(_PREFIX.unpack_from(self._data, place)[1], 0)
            # A truncated first batch would be fetched again forever.
            if place and place + size > len(self._data):
                return
            yield self._data[place : place + size]
            place += size


class PartitionRecords:
    """The records of a fetch, in order; replaces aiokafka's class of the same name and has its signature.

    Attributes:
        next_fetch_offset: the offset after the last record returned.
    """

    def __init__(
        self,
        partition: TopicPartition,
        batches: RecordBatches,
        _aborted_transactions: object,
        fetch_offset: int,
        *_: object,
    ) -> None:
        self._partition = partition
        self.next_fetch_offset = fetch_offset
        self._batches = batches
        self._items = self._read()

    def __iter__(self) -> Iterator[Record | Unreadable]:
        return self

    def __next__(self) -> Record | Unreadable:
        return next(self._items)

    def _read(self) -> Iterator[Record | Unreadable]:
        for batch in self._batches.batches():
            for item in read_batch(self._partition, batch, self.next_fetch_offset):
                if item.offset >= self.next_fetch_offset:
                    self.next_fetch_offset = item.offset + 1
                    yield item
            self.next_fetch_offset = max(self.next_fetch_offset, _end(batch))


def _end(batch: memoryview) -> int:
    """Return the offset after a batch, as far as its header can be trusted."""
    if len(batch) < _HEADER.size:
        return 0
    base, magic = _PREFIX.unpack_from(batch)[0], batch[_MAGIC_AT]
    return BatchHeader(*_HEADER.unpack_from(batch)).end if magic == _MAGIC and _is_sound(batch) else int(base) + 1


def read_batch(partition: TopicPartition, batch: memoryview, position: int) -> Iterator[Record | Unreadable]:
    """Yield every record of a batch; `position` is the offset that the reader expects next."""
    if len(batch) <= _MAGIC_AT or batch[_MAGIC_AT] < _MAGIC:
        yield from _read_legacy(partition, batch, position)
        return
    if len(batch) < _HEADER.size:
        yield Unreadable(
            partition.topic, partition.partition, position, position, 0, f"a record batch of {len(batch)} bytes"
        )
        return
    header = BatchHeader(*_HEADER.unpack_from(batch))
    if not _is_sound(batch):
        yield _unsound(partition, header, position)
        return
    if header.attributes & _CONTROL:
        return
    given = header.base - 1
    try:
        records = _records(header, batch)
    except Exception as error:
        # Decompressors raise exceptions of many types for corrupt data; all mean that the batch is unreadable.
        yield to_unreadable(partition, header, header.base, error)
        return
    try:
        for record in DefaultRecordBatch(_uncompressed(header, records)):
            if not given < record.offset < header.end:
                raise ValueError(f"offset {record.offset} does not follow")
            given = record.offset
            yield Record(
                partition.topic,
                partition.partition,
                given,
                record.timestamp,
                record.key,
                record.value,
                tuple(record.headers),
                header.leader_epoch,
            )
    except Exception:
        yield from (item for item in read_each_record(partition, header, records) if item.offset > given)


def _is_sound(batch: memoryview) -> bool:
    header = BatchHeader(*_HEADER.unpack_from(batch))
    whole = header.length == len(batch) - _PREFIX.size
    return whole and header.magic == _MAGIC and header.last_delta >= 0 and _crc_is_right(batch)


def _crc_is_right(batch: memoryview) -> bool:
    right: bool = DefaultRecordBatch(bytes(batch)).validate_crc()
    return right


def _unsound(partition: TopicPartition, header: BatchHeader, position: int) -> Unreadable:
    # The header can't be trusted: use its offset range if two of its fields agree, otherwise skip a single offset.
    agree = header.last_delta == header.records - 1 >= 0 and header.base <= position < header.end
    first, end = (header.base, header.end) if agree else (position, position + 1)
    return Unreadable(
        partition.topic,
        partition.partition,
        first,
        end - 1,
        0,
        "the checksum of its record batch is wrong, or its header broken",
    )


def _records(header: BatchHeader, batch: memoryview) -> bytes:
    """Return the decompressed records of a batch. Raises the codec's exceptions."""
    codec, body = header.attributes & _CODEC_MASK, batch[_HEADER.size :]
    return decompress(codec, body, MAX_BATCH_BYTES) if codec else bytes(body)


def _uncompressed(header: BatchHeader, records: bytes) -> bytes:
    """Return a batch of the same records without compression; its checksum is not updated."""
    plain = header._replace(
        length=_HEADER.size - _PREFIX.size + len(records), attributes=header.attributes & ~_CODEC_MASK
    )
    return _HEADER.pack(*plain) + records


def _read_legacy(partition: TopicPartition, batch: memoryview, position: int) -> Iterator[Record | Unreadable]:
    """Decode a message of a format before Kafka 0.11, which brokers before 4.0 may still hold."""
    base = max(int(_PREFIX.unpack_from(batch)[0]), position)
    try:
        _, _, _, magic, attributes = _LEGACY.unpack_from(batch)
        if attributes & _CODEC_MASK:
            raise ValueError("compressed messages of a format before Kafka 0.11 are not read")
        message = LegacyRecordBatch(bytes(batch), magic)
        if not message.validate_crc():
            raise ValueError("its checksum is wrong")
        items = [
            Record(partition.topic, partition.partition, one.offset, one.timestamp or 0, one.key, one.value, ())
            for one in message
        ]
    except Exception as error:
        yield Unreadable(
            partition.topic, partition.partition, position, base, 0, f"{type(error).__name__}: {error}"[:DETAIL_CHARS]
        )
    else:
        yield from items
