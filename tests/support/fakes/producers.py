"""A Kafka producer that accepts everything at once, and the events that it was given."""

from __future__ import annotations

import asyncio
from typing import Any

from stepwell_schemas.events.codec import decode


class AcceptingProducer:
    """Stands in for an `AIOKafkaProducer` where the order of events is tested, and no broker's behaviour.

    Attributes:
        sent: for each record, its run, session and number, in the order of sending.
        errors: by session, the error that is raised instead of accepting its events.
    """

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, int]] = []
        self.errors: dict[str, Exception] = {}

    async def send(self, topic: str, value: bytes, key: bytes) -> Any:
        """Accept an event."""
        event = decode(value)
        await asyncio.sleep(0)
        error = self.errors.get(event.session)
        if error is not None:
            raise error
        numbers = range(event.sequence, event.sequence + event.records)
        self.sent += [(event.run_id, event.session, number) for number in numbers]
        accepted = asyncio.get_running_loop().create_future()
        accepted.set_result(None)
        return accepted

    def sessions(self) -> list[str]:
        """Return the sessions in the order of their first records."""
        return list(dict.fromkeys(session for _, session, _ in self.sent))
