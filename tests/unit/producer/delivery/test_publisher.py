"""Publisher: acknowledges a position after the broker's answer; resent records keep their sequence numbers.

What a topic refuses because of its size is cut smaller, or set aside.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stepwell.delivery.publisher import IN_FLIGHT, Publisher
from stepwell.delivery.set_aside import set_aside_path
from stepwell.delivery.transport import AfterRefusalError, EventTooLargeError, TransportError
from stepwell.journal.format import START, JournalInfo, Position
from stepwell.journal.journal import Journal
from stepwell.journal.reader import Reader
from stepwell.recording.row_writer import RowWriter
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import LogBatch
from stepwell_schemas.limits import MIB

pytestmark = pytest.mark.anyio

INFO = JournalInfo("e", "p", "r", "session", "")
ROWS = 5


class UnansweredProducer:
    """Fake broker that answers on command of the test, which a real one can't."""

    cluster_id = ""
    max_message_bytes = 9 * MIB

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answers: list[asyncio.Future[object]] = []
        self.generation = 0

    async def send(self, value: bytes, key: bytes) -> asyncio.Future[object]:
        self.sent.append(value)
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    async def wait(self, future: asyncio.Future[object]) -> None:
        await future

    async def renew(self, max_message_bytes: int | None = None) -> None:
        self.generation += 1
        self.max_message_bytes = max_message_bytes or self.max_message_bytes

    async def stop(self) -> None:
        """Do nothing."""

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


class LimitedProducer(UnansweredProducer):
    """Fake broker that accepts events of up to a number of bytes, and does not report the limit.

    As aiokafka's, it accepts nothing more after a refusal until it is renewed.
    """

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.stored: list[bytes] = []
        self._broken = False

    async def send(self, value: bytes, key: bytes) -> asyncio.Future[object]:
        future = await super().send(value, key)
        if self._broken:
            future.set_exception(AfterRefusalError())
        elif len(value) > self.limit:
            self._broken = True
            future.set_exception(EventTooLargeError())
        else:
            self.stored.append(value)
            future.set_result(None)
        return future

    async def renew(self, max_message_bytes: int | None = None) -> None:
        await super().renew(max_message_bytes)
        self._broken = False


class Sending:
    """A publisher of a journal from a given position."""

    def __init__(self, journal: Journal, start: Position, producer: Any = None, info: JournalInfo = INFO) -> None:
        self.producer: Any = producer or UnansweredProducer()
        self.acknowledged: list[Position] = []
        self._journal = journal
        reader = Reader(check=True)
        reader.skip_to(journal, start)
        self.publisher = Publisher(self.producer, info, reader, self.acknowledged.append, journal.path)

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
    sending.producer.answers[1].set_exception(TransportError())
    with pytest.raises(TransportError):
        await sending.publisher.flush()
    sending.publisher.cancel_pending()
    assert sending.producer.numbers() == list(range(3 * ROWS))
    again = Sending(journal, sending.acknowledged[-1])
    await again.send()
    assert again.producer.numbers() == list(range(ROWS, 3 * ROWS))
    # The content of each record counts once, when it is acknowledged.
    whole = content_of(sending.producer.sent[:3])
    assert content_of(sending.producer.sent[:1]) == sending.publisher.content != whole
    assert (sending.publisher.content + content_of(again.producer.sent)) % 2**64 == whole
    assert again.publisher.content == 0
    again.publisher.cancel_pending()


def content_of(payloads: Sequence[bytes]) -> int:
    """Return the sum of the contents that batches state."""
    events = [decode(payload) for payload in payloads]
    return sum(event.content or 0 for event in events if isinstance(event, LogBatch)) % 2**64


def stored_values(producer: LimitedProducer, key: str) -> dict[int, float]:
    """Return the values of a key by the number of their record; fail if a record was stored twice."""
    values: dict[int, float] = {}
    following = 0
    for event in map(decode, producer.stored):
        assert event.sequence == following, "each record is stored once, in order"
        following += event.records
        assert isinstance(event, LogBatch)
        for block in event.blocks:
            if key in block.keys:
                column = np.frombuffer(block.packed, "<f8").reshape(len(block.keys), -1)[block.keys.index(key)]
                rows = np.arange(event.rows) if block.rows is None else np.frombuffer(block.rows, "<u4")
                values |= dict(zip((event.sequence + rows).tolist(), column.tolist(), strict=True))
    return values


@pytest.mark.parametrize("limit", [2_000, 400, 200])
async def test_what_a_topic_refuses_is_cut_until_it_fits(journal: Journal, limit: int) -> None:
    producer, rows = LimitedProducer(limit), RowWriter(journal, 0, "r")
    sending = Sending(journal, START, producer)
    for row in range(500):
        rows.log({"a": float(row)}, None, None)
        if row % 250 == 249:
            # Several events are on their way when the first one is refused.
            await sending.send()
    await sending.publisher.flush()
    assert stored_values(producer, "a") == {row: float(row) for row in range(500)}
    assert sending.acknowledged[-1] == (journal.end, 500)
    assert (sending.publisher.rejected, sending.publisher.refusing) == (0, False)
    assert sending.publisher.content == content_of(producer.stored)
    assert not set_aside_path(journal.path).exists()


async def test_a_record_that_fits_no_event_is_set_aside_and_what_follows_arrives(journal: Journal) -> None:
    producer, rows = LimitedProducer(3_000), RowWriter(journal, 0, "r")
    sending = Sending(journal, START, producer)
    wide = {f"wide/{key}": key / 7 for key in range(400)}
    for row in range(20):
        rows.log({"a": float(row), **(wide if row == 7 else {})}, 100 if row == 7 else None, None)
    await sending.send()
    await sending.publisher.flush()
    assert stored_values(producer, "a") == {row: float(row) for row in range(20) if row != 7}
    assert sending.publisher.rejected == 1
    assert sending.publisher.content == content_of(producer.stored)
    (line,) = set_aside_path(journal.path).read_text().splitlines()
    kept = json.loads(line)
    assert (kept["sequence"], kept["step"], kept["values"]) == (7, 100, {"a": 7.0, **wide})
    numbered = {event.sequence: event for event in map(decode, producer.stored)}
    placeholder = numbered[7]
    assert isinstance(placeholder, LogBatch)
    assert placeholder.steps is not None, "the rows after it keep their steps"
    assert np.frombuffer(placeholder.steps, "<i8").tolist() == [100]


async def test_another_publisher_s_refusal_loses_nothing_of_this_one(journal: Journal) -> None:
    sending, rows = Sending(journal, START), RowWriter(journal, 0, "r")
    for _ in range(3):
        log(journal, rows)
        await sending.send()
    await sending.producer.renew()
    settling = asyncio.create_task(sending.publisher.flush())
    await turns()
    assert sending.producer.numbers() == 2 * list(range(3 * ROWS))
    for answer in sending.producer.answers[3:]:
        answer.set_result(None)
    await settling
    assert [position.sequence for position in sending.acknowledged] == [ROWS, 2 * ROWS, 3 * ROWS]


async def test_what_follows_another_publisher_s_refused_batch_is_sent_again(journal: Journal) -> None:
    sending, rows = Sending(journal, START), RowWriter(journal, 0, "r")
    log(journal, rows)
    await sending.send()
    sending.producer.answers[0].set_exception(AfterRefusalError())
    settling = asyncio.create_task(sending.publisher.flush())
    await turns()
    assert sending.producer.generation == 1
    sending.producer.answers[1].set_result(None)
    await settling
    assert sending.producer.numbers() == 2 * list(range(ROWS))
    assert [position.sequence for position in sending.acknowledged] == [ROWS]


@pytest.mark.parametrize("lineage", ["", "session"])
async def test_batches_of_a_line_state_its_count_from_whatever_position(journal: Journal, lineage: str) -> None:
    rows = RowWriter(journal, 0, "r")
    info = INFO._replace(lineage=lineage)
    first = Sending(journal, START, info=info)
    stated: list[int | None] = []
    for sending in (first, first, None):
        sending = sending or Sending(journal, Position(journal.end, journal.sequence), info=info)
        log(journal, rows)
        await sending.send()
        batch = decode(sending.producer.sent[-1])
        assert isinstance(batch, LogBatch)
        stated.append(batch.current_step)
        sending.publisher.cancel_pending()
    assert stated == ([0, ROWS, 2 * ROWS] if lineage else [None] * 3)
