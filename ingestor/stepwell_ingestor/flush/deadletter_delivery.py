"""Delivery of dead letters. It never stops a partition, since the original event is still in the log.

A letter that the broker rejects is sent again without its value; its headers name the original event. While a broker
does not answer, delivery is retried for up to `patience` seconds over all letters of a flush. A letter that can't be
delivered by then, or whose topic is missing and can't be created, is counted and logged with the event's topic,
partition and offset. The alarm then rings until the topic accepts letters again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
)

from stepwell_ingestor import telemetry
from stepwell_ingestor.kafka.client import Kafka
from stepwell_ingestor.messages import REDRIVEN_HEADER, DeadLetter
from stepwell_ingestor.positions.checksums import record_checksum
from stepwell_schemas.limits import LETTER_KEY_MAX_BYTES, LETTER_VALUE_MAX_BYTES

_IN_FLIGHT: Final = 500
_RETRY_SECONDS: Final = 0.5
_ALARMED_PATIENCE_SECONDS: Final = 1.0
_PROBE_SECONDS: Final = 2.0
_DETAIL_MAX_CHARS: Final = 1_000
_REFUSED: Final = (TopicAuthorizationFailedError, ClusterAuthorizationFailedError)
_log = structlog.get_logger()


class LetterDelivery:
    """Delivers the dead letters of all partitions of an ingestor.

    Attributes:
        rings: True if the last letter could not be delivered and no probe of the topic has succeeded since.
    """

    def __init__(self, kafka: Kafka, topic: str, patience: float) -> None:
        self._kafka = kafka
        self._topic = topic
        self._patience = patience
        self._probed_at = 0.0
        self._probing: asyncio.Task[None] | None = None
        self.rings = False

    async def deliver(self, origin: TopicPartition, dead: Sequence[DeadLetter], given_up: asyncio.Event) -> None:
        """Deliver letters; log those that can't be delivered.

        Raises:
            KafkaError: if no broker answers and the partition was given up: its next owner delivers the letters.
        """
        if not dead:
            return
        clock = asyncio.get_running_loop().time
        deadline = clock() + (_ALARMED_PATIENCE_SECONDS if self.rings else self._patience)
        lost = [error for error in [await self._find_topic(deadline, given_up)] if error is not None]
        for start in range(0, len(dead), _IN_FLIGHT):
            letters = dead[start : start + _IN_FLIGHT]
            first = lost[0] if lost else None
            tries = [self._try(origin, letter, first, deadline, given_up) for letter in letters]
            errors = await asyncio.gather(*tries)
            lost = [error for error in errors if error is not None]
            if given_up.is_set() and (waiting := [error for error in lost if _passes(error)]):
                raise KafkaConnectionError("dead letters are left to the partition's next owner") from waiting[0]
            for letter, error in zip(letters, errors, strict=True):
                _account(origin, letter, error)
        self._ring(bool(lost))

    def probe(self) -> None:
        """While the alarm rings, start a check of the topic in the background from time to time."""
        now = asyncio.get_running_loop().time()
        if self.rings and now >= self._probed_at + _PROBE_SECONDS and (self._probing is None or self._probing.done()):
            self._probed_at = now
            self._probing = asyncio.create_task(self._probe(now))

    def close(self) -> None:
        """Cancel a check started by `probe`."""
        if self._probing is not None:
            self._probing.cancel()

    async def _probe(self, now: float) -> None:
        self._ring(await self._find_topic(now, asyncio.Event()) is not None)

    def _ring(self, rings: bool) -> None:
        self.rings = rings
        telemetry.gauge("stepwell_ingestor_deadletter_topic_alarm", rings)

    async def _find_topic(self, deadline: float, given_up: asyncio.Event) -> Exception | None:
        """Create the topic if it is missing; return the error if it can't be used."""
        clock = asyncio.get_running_loop().time
        while True:
            try:
                if not await self._kafka.has_topic(self._topic):
                    await self._kafka.create_deadletters_topic(self._topic)
                    _log.warning("deadletter_topic_created", topic=self._topic)
                return None
            except (KafkaError, OSError, TimeoutError) as error:
                if not _passes(error) or clock() >= deadline or given_up.is_set():
                    return error
            await asyncio.sleep(_RETRY_SECONDS)

    async def _try(
        self,
        origin: TopicPartition,
        letter: DeadLetter,
        missing: Exception | None,
        deadline: float,
        given_up: asyncio.Event,
    ) -> Exception | None:
        """Deliver a letter; return the error if that fails. `missing` is the error of earlier letters of the flush."""
        if missing is not None:
            return missing
        clock = asyncio.get_running_loop().time
        message = letter.message
        bare = letter.message.fault is not None or len(message.value) > LETTER_VALUE_MAX_BYTES
        while True:
            try:
                await self._send(origin, letter, bare=bare)
                return None
            except Exception as error:
                # aiokafka raises exceptions of many types for a record that it can't encode.
                if _passes(error):
                    if clock() >= deadline or given_up.is_set():
                        return error
                    await asyncio.sleep(_RETRY_SECONDS)
                elif bare or isinstance(error, _REFUSED):
                    return error
                else:
                    bare = True
                    _log.warning("deadletter_without_value", **dict(_headers(origin, letter)), error=repr(error))

    async def _send(self, origin: TopicPartition, letter: DeadLetter, *, bare: bool) -> None:
        key, value = letter.message.key, letter.message.value
        headers = [(name, text.encode("utf-8", "replace")) for name, text in _headers(origin, letter)]
        if bare:
            # aiokafka rejects messages that have neither a value nor a key.
            short = key if key is not None and len(key) <= LETTER_KEY_MAX_BYTES else b""
            await (await self._kafka.send(self._topic, None, short, headers))
        else:
            await (await self._kafka.send(self._topic, value, key, headers))


def _account(origin: TopicPartition, letter: DeadLetter, error: Exception | None) -> None:
    telemetry.count_dead_letter(str(letter.reason))
    if error is not None:
        telemetry.count("stepwell_ingestor_dead_letters_undelivered")
        _log.error("deadletter_undelivered", **dict(_headers(origin, letter)), error=repr(error))


def _passes(error: Exception) -> bool:
    """Return True if the same call may succeed later."""
    if isinstance(error, KafkaError):
        return bool(error.retriable) or isinstance(error, KafkaTimeoutError)
    return isinstance(error, OSError | TimeoutError)


def _headers(origin: TopicPartition, letter: DeadLetter) -> list[tuple[str, str]]:
    message = letter.message
    headers = {
        "reason": str(letter.reason),
        "detail": letter.detail[:_DETAIL_MAX_CHARS],
        "topic": origin.topic,
        "partition": str(origin.partition),
        "offset": str(message.offset if message.fault is None else message.fault.first),
        "timestamp": str(message.timestamp),
        # A topic that was created again has other events at the same offsets.
        "checksum": f"{record_checksum(message):08x}",
    }
    if message.fault is not None:
        headers["last_offset"] = str(message.offset)
    if letter.partly:
        headers["stored"] = "partly"
    if message.origin:
        headers[REDRIVEN_HEADER] = message.origin
    return list(headers.items())
