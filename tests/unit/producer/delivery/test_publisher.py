"""Publisher: acknowledges a position after the broker's answer; resent records keep their sequence numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import RequestTimedOutError

from stepwell.delivery.publisher import IN_FLIGHT, Publisher
from stepwell.journal.format import START, JournalInfo, Position
from stepwell.journal.journal import Journal
from stepwell.journal.reader import Reader
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.events.codec import decode
from stepwell_schemas.limits import MIB

pytestmark = pytest.mark.anyio

INFO = JournalInfo("e", "p", "r", "session", "")
ROWS = 5


class UnansweredProducer:
    """Fake broker that answers on command of the test, which a real one can't."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answers: list[asyncio.Future[None]] = []

    async def send(self, topic: str, value: bytes, key: bytes) -> asyncio.Future[None]:
        self.sent.append(value)
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def numbers(self) -> list[int]:
        """Return the numbers of the records sent, in order."""
        events = [decode(value) for value in self.sent]
        return [number for event in events for number in range(event.sequence, event.sequence + event.records)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    journal = Journal(tmp_path / "j.journal", INFO, 64 * MIB, "drop")
    yield journal
    journal.release()


class Sending:
    """A publisher of a journal from a given position."""

    def __init__(self, journal: Journal, start: Position) -> None:
        self.producer: Any = UnansweredProducer()
        self.acknowledged: list[Position] = []
        self._journal = journal
        reader = Reader(check=True)
        reader.skip_to(journal, start)
        self.publisher = Publisher(self.producer, "events", INFO, reader, self.acknowledged.append)

    async def send(self) -> None:
        """Send all records."""
        while await self.publisher.send(self._journal, self._journal.end):
            continue


def log(journal: Journal, rows: RowWriter) -> None:
    """Log some rows."""
    for row in range(ROWS):
        rows.log({"a": float(row)}, None, None)


async def turns() -> None:
    """Let all ready tasks run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_position_is_acknowledged_behind_the_broker_s_answer_and_in_order(journal: Journal) -> None:
    sending, rows = Sending(journal, START), RowWriter(journal, 0, "r")
    for _ in range(3):
        log(journal, rows)
        await sending.send()
    settling = asyncio.create_task(sending.publisher.flush())
    await turns()
    assert sending.acknowledged == []
    sending.producer.answers[1].set_result(None)
    await turns()
    assert sending.acknowledged == [], "what came before is not answered"
    sending.producer.answers[0].set_result(None)
    await turns()
    assert [position.sequence for position in sending.acknowledged] == [ROWS, 2 * ROWS]
    sending.producer.answers[2].set_result(None)
    await settling
    assert sending.acknowledged[-1].sequence == 3 * ROWS


async def test_no_more_than_a_bound_is_on_its_way(journal: Journal) -> None:
    sending, rows = Sending(journal, START), RowWriter(journal, 0, "r")
    for _ in range(IN_FLIGHT - 1):
        log(journal, rows)
        await sending.send()
    log(journal, rows)
    waiting = asyncio.create_task(sending.send())
    await turns()
    assert not waiting.done()
    sending.producer.answers[0].set_result(None)
    await waiting
    assert [position.sequence for position in sending.acknowledged] == [ROWS]
    sending.publisher.cancel_pending()


async def test_what_is_sent_again_keeps_its_numbers(journal: Journal) -> None:
    sending, rows = Sending(journal, START), RowWriter(journal, 0, "r")
    for _ in range(3):
        log(journal, rows)
        await sending.send()
    sending.producer.answers[0].set_result(None)
    sending.producer.answers[1].set_exception(RequestTimedOutError())
    with pytest.raises(RequestTimedOutError):
        await sending.publisher.flush()
    sending.publisher.cancel_pending()
    assert sending.producer.numbers() == list(range(3 * ROWS))
    again = Sending(journal, sending.acknowledged[-1])
    await again.send()
    assert again.producer.numbers() == list(range(ROWS, 3 * ROWS))
    again.publisher.cancel_pending()
