"""Room for an event in a record batch."""

from __future__ import annotations

from stepwell_schemas.kafka.record_size import event_room


def test_room_leaves_space_for_framing() -> None:
    assert event_room(1_000_000, b"k" * 100) < 1_000_000 - 100
    assert event_room(0, b"") > 0
