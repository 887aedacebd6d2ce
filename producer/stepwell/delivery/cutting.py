"""Cutting events to the size that a topic accepts, and placeholders for records that no cut makes small enough.

A placeholder has the record's number, times and step, and none of its values. So records after it keep their numbers
and steps, and the ingestor does not report a gap.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from stepwell.delivery.batching import EncodedEvent, EventContent, encode_events, split_into_events
from stepwell.journal.format import JournalInfo, Position
from stepwell.journal.items import JournalItem, JsonRow, MetaEvent, Rows
from stepwell.journal.row_layout import Layout
from stepwell_schemas.limits import KIB, SEND_BATCH_BYTES
from stepwell_schemas.rules.steps import StepState

_PLACEHOLDER_FIELD_BYTES: Final = KIB
_NO_CHANGE: Final = "RunUpdated"
"""The event that has a record's number, and without fields changes nothing."""


class OutgoingEvent(NamedTuple):
    """An event to send.

    Attributes:
        content: its records. sequence: the number of the first one. after: the position after the last one.
        payload: its encoding; that of a placeholder if `error` is set, b"" if that can't be encoded either.
        error: reason why the content can't be sent, "" if it can.
        steps_before, steps_after: the writer's state before and after its rows, None if it is unknown.
        row_content: the content of the rows that the payload has (`rules.content`).
    """

    content: EventContent
    sequence: int
    after: Position
    payload: bytes
    error: str = ""
    steps_before: StepState | None = None
    steps_after: StepState | None = None
    row_content: int = 0


def batch_room(room: int) -> int:
    """Return the bytes of journal records to put into one event, if its payload may have `room` bytes."""
    return min(SEND_BATCH_BYTES, room)


def is_divisible(content: EventContent) -> bool:
    """Return whether content has several records; a single record travels in one event."""
    return content.rows > 1


def halves(content: EventContent) -> list[EventContent]:
    """Return divisible content as several parts of at most half of its rows, in order."""
    return list(split_into_events(content.items, max_rows=(content.rows + 1) // 2))


def encode_to_fit(
    contents: Iterable[EventContent], info: JournalInfo, sequence: int, room: int, steps: StepState | None = None
) -> Iterator[OutgoingEvent]:
    """Encode events in parts of at most `room` bytes; the first begins with record `sequence` at the state `steps`.

    A single record that is larger is yielded all the same: the topic's limit applies to compressed bytes. A record
    that can't be encoded becomes a placeholder, so that it costs none of the records around it.
    """
    for content in contents:
        (encoded,) = encode_events([content], info, sequence, steps)
        if is_divisible(content) and (encoded.error or len(encoded.payload) > room):
            events = list(encode_to_fit(halves(content), info, sequence, room, steps))
        elif encoded.error:
            events = [placeholder(content, info, sequence, encoded.error, steps)]
        else:
            events = [_outgoing(content, sequence, encoded, "", steps)]
        yield from events
        sequence, steps = encoded.after.sequence, events[-1].steps_after


def cut_refused(event: OutgoingEvent, info: JournalInfo, room: int, reason: str) -> list[OutgoingEvent]:
    """Return what to send in place of an event that the topic refused: smaller events, or a placeholder."""
    if is_divisible(event.content):
        return list(encode_to_fit(halves(event.content), info, event.sequence, room, event.steps_before))
    return [placeholder(event.content, info, event.sequence, reason, event.steps_before)]


def placeholder(
    content: EventContent, info: JournalInfo, sequence: int, error: str, steps: StepState | None = None
) -> OutgoingEvent:
    """Return the event that takes the place of a single record, with `error` as the reason."""
    (item,) = content.items
    for empty in (_without_values(item), MetaEvent({"event": _NO_CHANGE}, item.end)):
        (encoded,) = encode_events([content._replace(items=[empty])], info, sequence, steps)
        if not encoded.error:
            break
    return _outgoing(content, sequence, encoded, error, steps)


def _outgoing(
    content: EventContent, sequence: int, encoded: EncodedEvent, error: str, steps: StepState | None
) -> OutgoingEvent:
    return OutgoingEvent(
        content, sequence, encoded.after, encoded.payload, error, steps, encoded.steps, encoded.content
    )


def _without_values(item: JournalItem) -> JournalItem:
    if isinstance(item, Rows):
        return Rows(Layout(item.layout.tag, (), ""), item.array, item.end)
    if isinstance(item, JsonRow):
        return item._replace(row={**item.row, "d": {}})
    if isinstance(item, MetaEvent):
        return item._replace(fields={name: value for name, value in item.fields.items() if _is_small(value)})
    return MetaEvent({"event": _NO_CHANGE}, item.end)


def _is_small(value: Any) -> bool:
    return len(json.dumps(value, default=str)) <= _PLACEHOLDER_FIELD_BYTES
