"""A Kafka producer that accepts everything immediately, and the events that were sent to it."""

from __future__ import annotations

import asyncio
from typing import Any

from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import Event
from stepwell_schemas.limits import MIB


class AcceptingProducer:
    """Stands in for an `EventProducer` where the order of events is tested, and no broker's behaviour.

    Attributes:
        events: the events in the order of sending. sent: for each of their records, its run, session and number.
        errors: by session, the error that is raised instead of accepting its events.
    """

    generation = 0
    max_message_bytes = MIB

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sent: list[tuple[str, str, int]] = []
        self.errors: dict[str, Exception] = {}

    async def send(self, value: bytes, key: bytes) -> Any:
        """Accept an event."""
        event = decode(value)
        await asyncio.sleep(0)
        error = self.errors.get(event.session)
        if error is not None:
            raise error
        self.events.append(event)
        numbers = range(event.sequence, event.sequence + event.records)
        self.sent += [(event.run_id, event.session, number) for number in numbers]
        accepted = asyncio.get_running_loop().create_future()
        accepted.set_result(None)
        return accepted

    async def wait(self, future: asyncio.Future[object]) -> None:
        """Wait for an acknowledgement."""
        await future

    async def renew(self, max_message_bytes: int | None = None) -> None:
        """Do nothing: no event is refused because of its size."""

    def sessions(self) -> list[str]:
        """Return the sessions in the order of their first records."""
        return list(dict.fromkeys(session for _, session, _ in self.sent))
