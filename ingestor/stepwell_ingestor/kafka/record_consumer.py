"""A consumer whose reading no record can stop: aiokafka's, with our reader of record batches (see `records`)."""

from __future__ import annotations

from types import FunctionType, MethodType

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher

from stepwell_ingestor.kafka.records import PartitionRecords, RecordBatches


class RecordConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer; `getmany` and `getone` give `Record`s, and `Unreadable`s for what can't be read.

    Reads what transactions that are open or aborted wrote too (see docs/decisions/0009), and bounds decompression.
    """

    async def start(self) -> None:
        """Connect."""
        await super().start()
        # aiokafka takes no other reader. Its method is given a name space with ours, for this consumer alone; it
        # is not called before a partition is assigned, which happens later.
        process = Fetcher._proc_fetch_request
        names = {**process.__globals__, "MemoryRecords": RecordBatches, "PartitionRecords": PartitionRecords}
        ours = FunctionType(process.__code__, names, process.__name__, process.__defaults__, process.__closure__)
        self._fetcher._proc_fetch_request = MethodType(ours, self._fetcher)
