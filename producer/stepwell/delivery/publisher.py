"""Publisher of a journal's records: reads, batches, encodes, sends, and acknowledges in order.

The sender and `sync` share it. Events that the topic refuses because of their size are cut smaller; a record that does
not fit by itself is set aside in a file, so that it does not block what follows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from stepwell.delivery.batching import split_into_events
from stepwell.delivery.cutting import (
    OutgoingEvent,
    batch_room,
    cut_refused,
    encode_to_fit,
    is_divisible,
)
from stepwell.delivery.set_aside import set_aside, set_aside_path
from stepwell.delivery.transport import AfterRefusalError, EventTooLargeError, Transport
from stepwell.journal.format import JournalInfo, Position
from stepwell.journal.reader import Reader
from stepwell.journal.segments import Place
from stepwell.terminal import notify
from stepwell_schemas.kafka.record_size import event_room
from stepwell_schemas.limits import SEND_BATCH_BYTES
from stepwell_schemas.rules.content import MASK
from stepwell_schemas.rules.identifiers import RunPath

READ_BYTES: Final = 8 * SEND_BATCH_BYTES
IN_FLIGHT: Final = 8


class _Sent(NamedTuple):
    """An event on its way; without a future, it is not sent and only acknowledged in its turn."""

    event: OutgoingEvent
    future: asyncio.Future[object] | None
    generation: int


class Publisher:
    """Sends one journal's records from the reader's position on; calls `acknowledge` with each position reached.

    A failed send raises TransportError. A new publisher continues from the acknowledged position; events that
    are sent twice count once, since they carry their session and sequence.

    Attributes:
        rejection: the last record that could not be delivered and was set aside, "" if there was none.
        rejected: the number of such records. refusing: True while the topic refuses an event because of its size.
        content: the sum of the contents of the rows acknowledged to this publisher (`rules.content`).
    """

    def __init__(
        self,
        transport: Transport,
        info: JournalInfo,
        reader: Reader,
        acknowledge: Callable[[Position], None],
        journal: Path | None = None,
    ) -> None:
        """Create a publisher; records that can't be delivered are kept next to the file `journal`, if given."""
        self._transport = transport
        self._info = info
        self._key = RunPath(info.entity, info.project, info.run_id).kafka_key
        self._reader = reader
        # Without a lineage, the ingestor counts: side streams, and journals of earlier versions.
        self._steps = reader.steps if info.lineage else None
        self._acknowledge = acknowledge
        self._set_aside_path = None if journal is None else set_aside_path(journal)
        self.rejection = ""
        self.rejected = 0
        self.refusing = False
        self.content = 0
        self._waiting: deque[_Sent] = deque()

    async def send(self, place: Place, end: int, max_bytes: int = READ_BYTES) -> bool:
        """Send the records before `end`, about `max_bytes` of them at most; return False if there were none."""
        before, gaps = self._reader.position, len(self._reader.gaps)
        items = self._reader.read(place, end, max_bytes)
        contents = split_into_events(items, batch_room(self._room))
        for event in encode_to_fit(contents, self._info, before.sequence, self._room, self._steps):
            self._steps = event.steps_after
            await self._send_one(event)
            if len(self._waiting) >= IN_FLIGHT:
                await self._settle_one()
        if len(self._reader.gaps) > gaps:
            # Rows are missing, so counting continues from the state in the next segment's header, in side streams too.
            self._steps = self._reader.steps
        return self._reader.position != before

    async def flush(self) -> None:
        """Wait until everything sent is acknowledged."""
        while self._waiting:
            await self._settle_one()

    @property
    def _room(self) -> int:
        return event_room(self._transport.max_message_bytes, self._key)

    async def _send_one(self, event: OutgoingEvent) -> None:
        generation = self._transport.generation
        future = await self._transport.send(event.payload, self._key) if event.payload else None
        self._waiting.append(_Sent(event, future, generation))

    async def _settle_one(self) -> None:
        event, future, generation = self._waiting[0]
        if future is not None and generation != self._transport.generation:
            # Another journal's publisher renewed the transport, which forgot what was on its way.
            await self._send_again()
            return
        try:
            if future is not None:
                await self._transport.wait(future)
        except (EventTooLargeError, AfterRefusalError):
            await self._send_one_by_one()
            return
        self._waiting.popleft()
        self._settle(event)

    async def _send_again(self) -> None:
        events = [sent.event for sent in self._waiting]
        self._waiting.clear()
        for event in events:
            await self._send_one(event)

    async def _send_one_by_one(self) -> None:
        """After a refusal, send what is on its way one event at a time, so that each refusal names its event."""
        events = deque(sent.event for sent in self._waiting)
        self.cancel_pending()
        self.refusing = True
        await self._transport.renew()
        while events:
            event = events.popleft()
            try:
                if event.payload:
                    await self._transport.wait(await self._transport.send(event.payload, self._key))
            except EventTooLargeError as error:
                events.extendleft(reversed(await self._cut(event, error)))
            else:
                self._settle(event)
        self.refusing = False

    def _settle(self, event: OutgoingEvent) -> None:
        """Acknowledge an event; a placeholder stands for a record that is set aside before, and thus not lost."""
        if event.error:
            self._reject(event)
        self.content = (self.content + event.row_content) & MASK
        self._acknowledge(event.after)

    async def _cut(self, event: OutgoingEvent, error: Exception) -> list[OutgoingEvent]:
        """Return what to send in place of a refused event, with the transport ready to send it."""
        if event.error:
            # Not even its placeholder fits.
            await self._transport.renew()
            return [event._replace(payload=b"")]
        await self._transport.renew(len(event.payload) // 2 if is_divisible(event.content) else None)
        reason = f"{len(event.payload):,} bytes are too large: {error}"
        return cut_refused(event, self._info, self._room, reason)

    def _reject(self, event: OutgoingEvent) -> None:
        """Set a record aside; the first one is reported in one line, and all of them are counted."""
        self.rejected += 1
        kept = "there is no folder to keep it in"
        if self._set_aside_path is not None:
            try:
                set_aside(event, self._set_aside_path)
                kept = f"it is kept in {self._set_aside_path}"
            except OSError as error:
                kept = f"it can't be kept in {self._set_aside_path}: {error.strerror}"
        self.rejection = f"record {event.sequence:,} can't be delivered: {event.error}; {kept}"
        if self.rejected == 1:
            notify(f"{self._info.run_id}: {self.rejection}")

    def cancel_pending(self) -> None:
        """After a failure: consume the errors of pending futures, which asyncio would report as never retrieved."""
        for _, future, _ in self._waiting:
            if future is not None and future.done() and not future.cancelled():
                future.exception()
            if future is not None:
                future.cancel()
        self._waiting.clear()
