"""A dead letter never stops a partition, and is not lost while a broker restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownError,
)
from prometheus_client import REGISTRY

from stepwell_deploy.deadletters.models import Letter, LetterName
from stepwell_ingestor.flush.deadletter_delivery import LetterDelivery
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.messages import REDRIVEN_HEADER, DeadLetter, Fault, Message, origin_of
from stepwell_ingestor.positions.checksums import record_checksum
from stepwell_schemas.errors import DeadLetterReason
from stepwell_schemas.limits import LETTER_KEY_MAX_BYTES, LETTER_VALUE_MAX_BYTES

pytestmark = pytest.mark.anyio

PARTITION = TopicPartition("events", 2)
Refuse = Callable[[bytes | None], Exception | None]


class Sent(NamedTuple):
    value: bytes | None
    key: bytes | None
    headers: dict[str, str]


class Broker:
    """A topic of dead letters: `refuse` says what a record with this value meets."""

    def __init__(
        self, refuse: Refuse = lambda _: None, *, there: bool = True, create: KafkaError | None = None
    ) -> None:
        self.refuse = refuse
        self.there = there
        self.create = create
        self.letters: list[Sent] = []

    async def has_topic(self, topic: str) -> bool:
        return self.there

    async def create_deadletters_topic(self, topic: str) -> None:
        if self.create is not None:
            raise self.create
        self.there = True

    async def send(
        self, topic: str, value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, bytes]]
    ) -> Awaitable[Any]:
        async def answer() -> None:
            if (error := self.refuse(value)) is not None:
                raise error
            self.letters.append(Sent(value, key, {name: text.decode() for name, text in headers}))

        return answer()


def a_letter(
    offset: int = 7, value: bytes = b"poison", key: bytes | None = b"k", fault: Fault | None = None
) -> DeadLetter:
    return DeadLetter(Message(offset, 1, key, value, fault=fault), DeadLetterReason.MALFORMED, "why")


async def deliver(
    broker: Broker, *letters: DeadLetter, patience: float = 0.0, given_up: bool = False
) -> LetterDelivery:
    delivery = LetterDelivery(cast("Kafka", broker), "dead", patience)
    stop = asyncio.Event()
    if given_up:
        stop.set()
    await delivery.deliver(PARTITION, letters, stop)
    return delivery


def undelivered() -> float:
    return REGISTRY.get_sample_value("stepwell_ingestor_dead_letters_undelivered_total") or 0.0


async def test_a_letter_has_its_event_and_names_where_it_was() -> None:
    broker = Broker()
    assert not (await deliver(broker, a_letter())).rings
    names = {
        "reason": "malformed",
        "detail": "why",
        "topic": "events",
        "partition": "2",
        "offset": "7",
        "timestamp": "1",
        "checksum": f"{record_checksum(a_letter().message):08x}",
    }
    assert broker.letters == [Sent(b"poison", b"k", names)]


async def test_other_events_at_one_place_are_told_apart_when_they_are_sent_again() -> None:
    """As after the topic was created again."""
    broker = Broker()
    for letter in (a_letter(), a_letter(value=b"another"), a_letter()):
        await deliver(broker, letter)
    letters = [Letter(LetterName(0, 0), 0, sent.key, sent.value, sent.headers) for sent in broker.letters]
    first, other, again = (origin_of([(REDRIVEN_HEADER, letter.event_id.encode())]) for letter in letters)
    assert first == again != other
    assert all(origin.startswith("events/2/7/") for origin in (first, other))
    assert {letter.first_origin for letter in letters} == {"events/2/7"}


async def test_a_letter_of_what_cannot_be_read_names_its_offsets() -> None:
    broker = Broker()
    await deliver(broker, a_letter(9, b"", None, Fault(4, "broken")))
    assert (broker.letters[0].value, broker.letters[0].key) == (None, b"")
    assert [broker.letters[0].headers[name] for name in ("offset", "last_offset")] == ["4", "9"]


@pytest.mark.parametrize(
    "error",
    [
        MessageSizeTooLargeError(),
        RecordListTooLargeError(),
        CorruptRecordException(),
        UnknownError(),
        ValueError("odd"),
    ],
)
async def test_a_letter_whose_record_is_refused_goes_without_its_value(error: Exception) -> None:
    broker = Broker(lambda value: error if value is not None else None)
    before = undelivered()
    assert not (await deliver(broker, a_letter(), a_letter(8))).rings
    assert [letter.value for letter in broker.letters] == [None, None]
    assert undelivered() == before


async def test_an_event_above_the_limit_and_its_long_key_are_left_out() -> None:
    broker = Broker()
    await deliver(broker, a_letter(value=bytes(LETTER_VALUE_MAX_BYTES + 1), key=bytes(LETTER_KEY_MAX_BYTES + 1)))
    assert (broker.letters[0].value, broker.letters[0].key) == (None, b"")


@pytest.mark.parametrize("error", [UnknownError(), TopicAuthorizationFailedError(), TypeError("odd")])
async def test_letters_that_no_topic_takes_are_counted_and_ring(error: Exception) -> None:
    broker = Broker(lambda _: error)
    before = undelivered()
    delivery = await deliver(broker, a_letter(), a_letter(8))
    assert delivery.rings
    assert undelivered() == before + 2
    broker.refuse = lambda _: None
    await delivery.deliver(PARTITION, [a_letter()], asyncio.Event())
    assert not delivery.rings


async def test_a_missing_topic_is_created() -> None:
    broker = Broker(there=False)
    assert not (await deliver(broker, a_letter())).rings
    assert len(broker.letters) == 1


async def test_a_topic_that_cannot_be_created_rings_until_it_is_there() -> None:
    broker = Broker(there=False, create=TopicAuthorizationFailedError())
    delivery = await deliver(broker, a_letter(), patience=60.0)
    assert delivery.rings
    assert broker.letters == []
    broker.there = True
    while delivery.rings:
        delivery.probe()
        await asyncio.sleep(0)
    delivery.close()


async def test_a_broker_that_restarts_is_waited_for() -> None:
    errors: list[Exception] = [KafkaConnectionError("gone"), RequestTimedOutError()]
    broker = Broker(lambda _: errors.pop() if errors else None)
    assert not (await deliver(broker, a_letter(), patience=60.0)).rings
    assert [letter.value for letter in broker.letters] == [b"poison"]


async def test_a_broker_that_stays_away_is_not_waited_for_for_ever() -> None:
    broker = Broker(lambda _: KafkaConnectionError("gone"))
    before = undelivered()
    assert (await deliver(broker, *[a_letter(offset) for offset in range(600)])).rings
    assert undelivered() == before + 600


async def test_letters_of_a_partition_that_was_given_up_are_its_next_owners() -> None:
    broker = Broker(lambda _: KafkaConnectionError("gone"))
    before = undelivered()
    with pytest.raises(KafkaError):
        await deliver(broker, a_letter(), patience=60.0, given_up=True)
    assert undelivered() == before
