"""What comes from Kafka: messages to events, or to dead letters with their reason; one never touches another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stepwell_schemas.codec import Codec
from stepwell_schemas.errors import DeadLetterReason, IdentifierError, StepError, UnusableEventError
from stepwell_schemas.events import NO_TIMESTAMP, Event, LogEvent, MediaChunk
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.limits import MAX_STEP
from stepwell_schemas.steps import check_step

_MICROSECONDS_A_MILLISECOND = 1_000


class Message(NamedTuple):
    """A Kafka record of one partition; `timestamp` is the record's, in milliseconds since the epoch."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes


class Received(NamedTuple):
    """A message that is an event: of which run, and when it was made, in microseconds since the epoch."""

    message: Message
    event: Event
    path: RunPath
    timestamp: int


class DeadLetter(NamedTuple):
    """A message that can't be used, or not wholly, and why."""

    message: Message
    reason: DeadLetterReason
    detail: str


def receive(codec: Codec, message: Message) -> Received:
    """Read one message.

    Raises:
        UnusableEventError: when it is no event that can be used.
        RegistryError: when the schema registry is needed and does not answer.
    """
    event = codec.decode(message.value)
    try:
        path = event.path
        if isinstance(event, LogEvent) and event.step is not None:
            check_step(event.step)
    except IdentifierError as error:
        raise UnusableEventError(DeadLetterReason.BAD_IDENTIFIER, str(error)) from error
    except StepError as error:
        raise UnusableEventError(DeadLetterReason.BAD_STEP, f"{error} (±{MAX_STEP})") from error
    if isinstance(event, MediaChunk):
        raise UnusableEventError(DeadLetterReason.UNSUPPORTED_EVENT, "this version stores no media files")
    timestamp = event.timestamp
    if timestamp == NO_TIMESTAMP:
        timestamp = message.timestamp * _MICROSECONDS_A_MILLISECOND
    return Received(message, event, path, timestamp)


def receive_all(codec: Codec, messages: Iterable[Message]) -> tuple[list[Received], list[DeadLetter]]:
    """Read messages; what can't be used comes back as dead letters. Raises: RegistryError."""
    received, dead = [], []
    for message in messages:
        try:
            received.append(receive(codec, message))
        except UnusableEventError as error:
            dead.append(DeadLetter(message, error.reason, error.detail))
    return received, dead
