"""Moving a journal's records to Kafka: read, cut, encode, send, acknowledge in order. Shared by sender and sync."""

from __future__ import annotations

import asyncio
import mmap
from collections import deque
from collections.abc import Callable
from typing import Final

from aiokafka import AIOKafkaProducer

from stepwell.delivery.batching import cut, outgoing
from stepwell.journal.format import JournalInfo, Position
from stepwell.journal.reader import Reader
from stepwell.terminal import say
from stepwell_schemas.limits import SEND_BATCH_BYTES
from stepwell_schemas.rules.identifiers import RunPath

READ_BYTES: Final = 8 * SEND_BATCH_BYTES
IN_FLIGHT: Final = 8


class Pump:
    """Sends one journal's records from `start` on; `acknowledge` is called with every position that was reached.

    A failed send raises aiokafka's KafkaError; a new pump from the acknowledged position goes on, and what was sent
    twice counts once, since events carry their session and sequence.

    Attributes:
        refusal: what could not be made an event and was passed over, "" when all could.
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
        self.refusal = ""
        self._waiting: deque[tuple[asyncio.Future[object], Position]] = deque()

    async def send(self, data: mmap.mmap | bytes, end: int) -> bool:
        """Send what lies before `end`, at most READ_BYTES of it; False when there was nothing more."""
        before = self._reader.position
        items = self._reader.read(data, end, READ_BYTES)
        for payload, after, error in outgoing(cut(items), self._info, before.sequence):
            if error:
                self.refusal = f"records before {after.sequence:,} can't be sent: {error}"
                say(f"{self._info.run_id}: {self.refusal}")
                future = asyncio.get_running_loop().create_future()
                future.set_result(None)
            else:
                future = await self._producer.send(self._topic, payload, key=self._key)
            self._waiting.append((future, after))
            if len(self._waiting) >= IN_FLIGHT:
                await self._settle_one()
        return self._reader.position != before

    async def settle(self) -> None:
        """Wait until everything sent is acknowledged."""
        while self._waiting:
            await self._settle_one()

    async def _settle_one(self) -> None:
        future, after = self._waiting[0]
        await future
        self._waiting.popleft()
        self._acknowledge(after)

    def forget(self) -> None:
        """After a failure: leave no future behind whose error nobody has seen."""
        for future, _ in self._waiting:
            if future.done() and not future.cancelled():
                future.exception()
            future.cancel()
        self._waiting.clear()
