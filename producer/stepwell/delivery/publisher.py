"""Publisher of a journal's records: reads, batches, encodes, sends, and acknowledges in order.

The sender and `sync` share it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaProducer

from stepwell.delivery.batching import encode_events, split_into_events
from stepwell.journal.format import JournalInfo, Position
from stepwell.journal.reader import Reader
from stepwell.journal.segments import Place
from stepwell.terminal import notify
from stepwell_schemas.limits import SEND_BATCH_BYTES
from stepwell_schemas.rules.identifiers import RunPath

READ_BYTES: Final = 8 * SEND_BATCH_BYTES
IN_FLIGHT: Final = 8


class Publisher:
    """Sends one journal's records from the reader's position on; calls `acknowledge` with each position reached.

    A failed send raises aiokafka's KafkaError. A new publisher continues from the acknowledged position; events that
    are sent twice count once, since they carry their session and sequence.

    Attributes:
        rejection: the last records that could not be encoded and were skipped, "" if there were none.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        topic: str,
        info: JournalInfo,
        reader: Reader,
        acknowledge: Callable[[Position], None],
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._info = info
        self._key = RunPath(info.entity, info.project, info.run_id).kafka_key
        self._reader = reader
        self._acknowledge = acknowledge
        self.rejection = ""
        self._waiting: deque[tuple[asyncio.Future[object], Position]] = deque()

    async def send(self, place: Place, end: int) -> bool:
        """Send the records before `end`, READ_BYTES of them at most; return False if there were none."""
        before = self._reader.position
        items = self._reader.read(place, end, READ_BYTES)
        for payload, after, error in encode_events(split_into_events(items), self._info, before.sequence):
            if error:
                self.rejection = f"records before {after.sequence:,} can't be sent: {error}"
                notify(f"{self._info.run_id}: {self.rejection}")
                future = asyncio.get_running_loop().create_future()
                future.set_result(None)
            else:
                future = await self._producer.send(self._topic, payload, key=self._key)
            self._waiting.append((future, after))
            if len(self._waiting) >= IN_FLIGHT:
                await self._settle_one()
        return self._reader.position != before

    async def flush(self) -> None:
        """Wait until everything sent is acknowledged."""
        while self._waiting:
            await self._settle_one()

    async def _settle_one(self) -> None:
        future, after = self._waiting[0]
        await future
        self._waiting.popleft()
        self._acknowledge(after)

    def cancel_pending(self) -> None:
        """After a failure: consume the errors of pending futures, which asyncio would report as never retrieved."""
        for future, _ in self._waiting:
            if future.done() and not future.cancelled():
                future.exception()
            future.cancel()
        self._waiting.clear()
