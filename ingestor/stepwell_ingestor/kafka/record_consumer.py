"""A consumer that no record can stop: aiokafka's, with our decoder of record batches (see `records`)."""

from __future__ import annotations

from types import FunctionType, MethodType

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher

from stepwell_ingestor.kafka.record_models import Record, Unreadable
from stepwell_ingestor.kafka.records import PartitionRecords, RecordBatches
from stepwell_ingestor.messages import Fault, Message, origin_of


class RecordConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer; `getmany` and `getone` return `Record`s, and `Unreadable`s for offsets that can't be read.

    It also reads records of open and aborted transactions (see docs/decisions/0009), and limits decompression.
    """

    async def start(self) -> None:
        """Connect."""
        await super().start()
        # aiokafka has no option for another decoder. Rebind its method with globals that contain ours, for this
        # consumer only. The method is not called before a partition is assigned, which happens later.
        process = Fetcher._proc_fetch_request
        names = {**process.__globals__, "MemoryRecords": RecordBatches, "PartitionRecords": PartitionRecords}
        ours = FunctionType(process.__code__, names, process.__name__, process.__defaults__, process.__closure__)
        self._fetcher._proc_fetch_request = MethodType(ours, self._fetcher)


def to_message(record: Record | Unreadable) -> Message:
    """Convert a record to a message."""
    if isinstance(record, Unreadable):
        fault = Fault(record.first, record.detail)
        return Message(record.offset, record.timestamp, None, b"", fault=fault, leader_epoch=record.leader_epoch)
    origin, value = origin_of(record.headers), record.value or b""
    return Message(record.offset, record.timestamp, record.key, value, origin, leader_epoch=record.leader_epoch)
