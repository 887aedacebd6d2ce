"""Decode Kafka messages into events, or into dead letters with a reason; each message is handled independently."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from stepwell_schemas.errors import (
    DeadLetterReason,
    IdentifierError,
    RegistryError,
    StepError,
    UnusableEventError,
)
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.events.models import NO_SEQUENCE, Event, LogBatch, LogEvent, Media, MediaChunk
from stepwell_schemas.limits import (
    CONTENT_TYPE_MAX_CHARS,
    EARLIEST_TIMESTAMP,
    LATEST_TIMESTAMP,
    MAX_STEP,
    RECORD_OVERHEAD_BYTES,
)
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import MEDIA_KINDS
from stepwell_schemas.rules.steps import (
    COMMIT_DEFAULT,
    COMMIT_FALSE,
    COMMIT_TRUE,
    NO_STEP,
    check_current_step,
    check_step,
)

NO_LEADER_EPOCH: Final = -1
"""The leader epoch of a record whose broker states none."""

REDRIVEN_HEADER: Final = "redriven"
"""Header that names the original record of a dead letter that is sent again (redriven)."""

# `topic/partition/offset/checksum`, by the names that Kafka gives to topics; earlier letters have no checksum.
_ORIGIN: Final = re.compile(rb"[A-Za-z0-9._-]{1,249}/[0-9]{1,10}/[0-9]{1,19}(/[0-9a-f]{8})?")
_MICROSECONDS_A_MILLISECOND: Final = 1_000
_DETAIL_CHARS: Final = 500
_COMMIT_CODES: Final = bytes([COMMIT_FALSE, COMMIT_TRUE, COMMIT_DEFAULT])


class Fault(NamedTuple):
    """The reason why Kafka records can't be read; they span the offsets from `first` to that of the message."""

    first: int
    detail: str


class Message(NamedTuple):
    """A Kafka record of one partition; `timestamp` is the record's, in milliseconds since the epoch.

    The planner gets messages with logical offsets (see `positions.models`), all others have Kafka's. `origin` is
    `topic/partition/offset/checksum` of the original event if the record is a redriven dead letter. A message with
    a `fault` stands for unreadable records and has no value. `leader_epoch` counts the elections of the partition's
    leader up to the one that appended the record.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    origin: str = ""
    fault: Fault | None = None
    leader_epoch: int = NO_LEADER_EPOCH

    @property
    def size(self) -> int:
        """Approximate size in memory, in bytes."""
        return len(self.value) + len(self.key or b"") + RECORD_OVERHEAD_BYTES


def shift(message: Message, base: int) -> Message:
    """Return a message with a base added to its offset, which makes Kafka's offset a logical one, or takes it back."""
    return message._replace(offset=message.offset + base) if base else message


def origin_of(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """Return the origin of a redriven record; "" if the header is missing or malformed."""
    for name, value in headers:
        if name == REDRIVEN_HEADER and value is not None and _ORIGIN.fullmatch(value):
            return value.decode("ascii")
    return ""


def redriven_session(origin: str) -> str:
    """Return the session name for redriven records of one origin, so that repeated deliveries are deduplicated."""
    return f"{REDRIVEN_HEADER} {origin}"


class Received(NamedTuple):
    """A message decoded into an event, with its run and its timestamp in microseconds since the epoch."""

    message: Message
    event: Event
    path: RunPath
    timestamp: int


class DeadLetter(NamedTuple):
    """A message that can't be used, with the reason; `partly`: its usable values are stored."""

    message: Message
    reason: DeadLetterReason
    detail: str
    partly: bool = False


def receive(codec: Codec, message: Message) -> Received:
    """Decode and validate one message.

    Raises:
        UnusableEventError: if it is not a usable event.
        RegistryError: if the schema registry is needed and does not answer.
    """
    if message.fault is not None:
        raise UnusableEventError(DeadLetterReason.UNREADABLE, message.fault.detail)
    event = codec.decode(message.value)
    try:
        path = event.path
        _check_steps(event)
    except IdentifierError as error:
        raise UnusableEventError(DeadLetterReason.BAD_IDENTIFIER, str(error)) from error
    except StepError as error:
        raise UnusableEventError(DeadLetterReason.BAD_STEP, str(error)) from error
    _check_values(event)
    if isinstance(event, MediaChunk):
        _check_chunk(event)
    timestamp = event.timestamp
    if not EARLIEST_TIMESTAMP <= timestamp <= LATEST_TIMESTAMP:
        # The record's own time may be out of range too: producers set it.
        timestamp = min(max(message.timestamp * _MICROSECONDS_A_MILLISECOND, EARLIEST_TIMESTAMP), LATEST_TIMESTAMP)
    return Received(message, event, path, timestamp)


def _check_steps(event: Event) -> None:
    if isinstance(event, LogEvent) and event.step is not None:
        check_step(event.step)
    elif isinstance(event, LogBatch):
        if event.current_step is not None:
            check_current_step(event.current_step)
        if not event.steps:
            return
        asked = np.frombuffer(event.steps, "<i8")
        if len(asked) == 1:
            # The usual event of runs that log now and then, for which numpy's calls would take longer than all else.
            only = int(asked[0])
            if only != NO_STEP:
                check_step(only)
            return
        outside = np.flatnonzero((asked != NO_STEP) & ((asked > MAX_STEP) | (asked < -MAX_STEP)))
        if len(outside):
            check_step(int(asked[outside[0]]))


def _check_values(event: Event) -> None:
    if isinstance(event, LogBatch) and event.commits is not None and event.commits.translate(None, _COMMIT_CODES):
        raise UnusableEventError(DeadLetterReason.BAD_VALUE, "commits: codes are 0 (no), 1 (yes) and 2 (default)")
    if event.sequence < NO_SEQUENCE or event.sequence > MAX_STEP:
        raise UnusableEventError(DeadLetterReason.BAD_VALUE, f"sequence {event.sequence}: must be 0 … 2^62, or -1")
    if isinstance(event, LogEvent):
        for key, value in event.data.items():
            if isinstance(value, Media) and value.kind not in MEDIA_KINDS:
                detail = f"key {key[:80]!r}: {value.kind} is not a media kind"
                raise UnusableEventError(DeadLetterReason.BAD_VALUE, detail)


def _check_chunk(chunk: MediaChunk) -> None:
    """Validate a media chunk; check a file of a single chunk against its size and SHA-256."""
    size, kind = len(chunk.data), chunk.content_type
    rule = ""
    if chunk.index >= chunk.count:
        rule = f"index {chunk.index}: must be less than count {chunk.count}"
    elif chunk.count == 1 and size != chunk.size:
        rule = f"size {chunk.size}: the file has {size:,} bytes"
    elif chunk.count == 1 and hashlib.sha256(chunk.data).hexdigest() != chunk.sha256:
        rule = f"sha256 {chunk.sha256}: the file has the SHA-256 {hashlib.sha256(chunk.data).hexdigest()}"
    elif len(kind) > CONTENT_TYPE_MAX_CHARS or not (kind.isascii() and kind.isprintable()):
        rule = f"content_type {kind[:40]!r}: at most {CONTENT_TYPE_MAX_CHARS} printable ASCII characters"
    if rule:
        raise UnusableEventError(DeadLetterReason.BAD_MEDIA, rule)


def receive_all(codec: Codec, messages: Iterable[Message]) -> tuple[list[Received], list[DeadLetter]]:
    """Decode messages into events, and into dead letters if they can't be used. Raises: RegistryError."""
    received, dead = [], []
    for message in messages:
        try:
            received.append(receive(codec, message))
        except UnusableEventError as error:
            dead.append(DeadLetter(message, error.reason, error.detail))
        except RegistryError:
            raise
        except Exception as error:
            dead.append(unusable(message, error))
    return received, dead


def unusable(message: Message, error: Exception) -> DeadLetter:
    """Return the dead letter for a message whose processing raised an exception."""
    detail = f"{type(error).__name__}: {str(error)[:_DETAIL_CHARS]}"
    return DeadLetter(message, DeadLetterReason.UNUSABLE, detail)
