"""Models of dead letters: their headers, and the event as far as it can be decoded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from stepwell_deploy.errors import NoLetterError
from stepwell_ingestor.messages import REDRIVEN_HEADER, redriven_session
from stepwell_schemas.errors import IdentifierError, UnusableEventError
from stepwell_schemas.events.codec import Codec
from stepwell_schemas.events.models import Event, LogBatch, LogEvent
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.steps import NO_STEP

_TIMESTAMP: Final = re.compile(r"-?[0-9]{1,19}")
_OFFSET: Final = re.compile(r"[0-9]{1,19}")
_CHECKSUM: Final = re.compile(r"[0-9a-f]{8}")
_ORIGIN_PARTS: Final = 3
_HEX_BYTES: Final = 256
_HEX_BYTES_A_LINE: Final = 16
_CODEC: Final = Codec()


class LetterName(NamedTuple):
    """Position of a letter in its topic, which is also its name."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str, partitions: Iterable[int]) -> LetterName:
        """Parse `partition:offset`, or `offset` if the topic has one partition.

        Raises:
            NoLetterError: if the text is not a name in one of the topic's `partitions`.
        """
        known = sorted(partitions)
        before, separator, offset = text.rpartition(":")
        if not offset.isdecimal() or (separator and not before.isdecimal()):
            raise NoLetterError(text, "a name is an offset, or partition:offset, as printed by `list`")
        if not separator and len(known) > 1:
            raise NoLetterError(text, f"the topic has {len(known)} partitions: write partition:{offset}")
        partition = int(before) if separator else known[0]
        if partition not in known:
            raise NoLetterError(text, f"the topic has no partition {partition}")
        return cls(partition, int(offset))

    def short(self, partitions: int) -> str:
        """Return the name as printed for a topic with this number of partitions."""
        return str(self.offset) if partitions == 1 else f"{self.partition}:{self.offset}"


class Origin(NamedTuple):
    """Topic, partition and offset of the event in a letter."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True)
class Letter:
    """A record of the dead-letter topic.

    Attributes:
        at: time of delivery to the topic, in milliseconds since the epoch.
        value: the event's bytes; None if they were too large for the topic.
    """

    name: LetterName
    at: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]

    @property
    def reason(self) -> str:
        """Reason for which the event could not be used."""
        return self.headers.get("reason", "")

    @property
    def partly_stored(self) -> bool:
        """True if the usable part of the event is stored."""
        return self.headers.get("stored") == "partly"

    @property
    def origin(self) -> Origin | None:
        """Position of the event that could not be used; None for a record that was not written by an ingestor."""
        partition, offset = self.headers.get("partition", ""), self.headers.get("offset", "")
        if not self.headers.get("topic") or not _OFFSET.fullmatch(partition) or not _OFFSET.fullmatch(offset):
            return None
        return Origin(self.headers["topic"], int(partition), int(offset))

    @property
    def event_id(self) -> str:
        """Identity of the event through all redrives, by which an ingestor stores it once; "" if unknown.

        Its origin before any redrive, and its checksum: a topic that was created again has other events at an origin.
        """
        if redriven := self.headers.get(REDRIVEN_HEADER):
            return redriven
        checksum = self.headers.get("checksum", "")
        if self.origin is None or not _CHECKSUM.fullmatch(checksum):
            return str(self.origin or "")
        return f"{self.origin}/{checksum}"

    @property
    def first_origin(self) -> str:
        """Origin of the event before any redrive; "" if unknown."""
        return "/".join(self.event_id.split("/")[:_ORIGIN_PARTS])

    @property
    def event_timestamp(self) -> int | None:
        """Kafka's timestamp of the event, in milliseconds since the epoch; None if the headers do not have it."""
        text = self.headers.get("timestamp", "")
        return int(text) if _TIMESTAMP.fullmatch(text) else None

    @cached_property
    def event(self) -> Event | None:
        """The decoded event; None if the bytes are not an event."""
        try:
            return _CODEC.decode(self.value or b"")
        except UnusableEventError:
            return None

    @property
    def run(self) -> str:
        """entity/project/run_id from the event, otherwise from the key; they may be invalid."""
        event = self.event
        if event is not None:
            return f"{event.entity}/{event.project}/{event.run_id}"
        return (self.key or b"").decode("utf-8", "replace")

    @property
    def path(self) -> RunPath | None:
        """Path of the run in which an ingestor would store the event; None if it could not."""
        try:
            return None if self.event is None else self.event.path
        except IdentifierError:
            return None


def as_json(letter: Letter, partitions: int) -> dict[str, Any]:
    """Return the fields that `list` shows, as JSON types."""
    return {
        "name": letter.name.short(partitions),
        "timestamp": letter.at,
        "reason": letter.reason,
        "detail": letter.headers.get("detail", ""),
        "run": letter.run,
        "origin": str(letter.origin or ""),
        "bytes": None if letter.value is None else len(letter.value),
        "partly_stored": letter.partly_stored,
        "first_origin": letter.first_origin,
        "redriven_session": redriven_session(letter.event_id),
    }


def plain(text: str) -> str:
    """Return foreign text without control characters, which a terminal would act on."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def describe(event: Event) -> Iterator[tuple[str, str]]:
    """Yield the content of an event as names and texts: its fields; for logged values their rows, steps and keys."""
    yield "event", event.name
    if isinstance(event, LogBatch):
        yield "rows", f"{event.rows:,}"
        if event.steps is not None:
            yield "steps asked for", _steps(np.frombuffer(event.steps, "<i8"))
        for block in event.blocks:
            yield "keys", f"{block.kind}, {block.row_count(event.rows):,} rows: {', '.join(block.keys)}"
    elif isinstance(event, LogEvent):
        yield "rows", "1"
        if event.step is not None:
            yield "steps asked for", str(event.step)
        yield "keys", ", ".join(event.data)
    columns = {"rows", "steps", "blocks", "timestamps", "commits", "step"} | (
        {"data"} if isinstance(event, LogEvent) else set()
    )
    for name, value in event.model_dump(exclude=columns, exclude_defaults=True).items():
        yield name, f"{len(value):,} bytes" if isinstance(value, bytes) else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _steps(steps: np.ndarray) -> str:
    given = steps[steps != NO_STEP]
    if not len(given):
        return "none"
    return f"{int(given.min())} to {int(given.max())}, in {len(given):,} rows"


def hex_dump(value: bytes) -> str:
    """Return the first 256 bytes as lines of offset, hexadecimal and ASCII."""
    lines = []
    for start in range(0, min(len(value), _HEX_BYTES), _HEX_BYTES_A_LINE):
        part = value[start : min(start + _HEX_BYTES_A_LINE, _HEX_BYTES)]
        shown = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isprintable() else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{3 * _HEX_BYTES_A_LINE}} {shown}")
    if len(value) > _HEX_BYTES:
        lines.append(f"… {len(value) - _HEX_BYTES:,} bytes more")
    return "\n".join(lines)
