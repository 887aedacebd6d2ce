"""The dead-letter alarm: a share of the last events, with a floor that strays stay under."""

from __future__ import annotations

import pytest

from stepwell_ingestor.alarms import LEAST_DEAD_LETTERS, WINDOW_EVENTS, DeadLetterAlarm
from stepwell_ingestor.messages import DeadLetter, Message
from stepwell_schemas.errors import DeadLetterReason


def saw(alarm: DeadLetterAlarm, events: int, dead: int) -> DeadLetterAlarm:
    """Let the alarm see a flush of events, of which the last ones are dead letters."""
    messages = [Message(offset, 0, None, b"") for offset in range(events)]
    letters = [DeadLetter(message, DeadLetterReason.MALFORMED, "") for message in messages[events - dead :]]
    alarm.settled(messages, letters)
    return alarm


def test_nothing_rings_before_the_first_event() -> None:
    alarm = DeadLetterAlarm(0.0)
    assert (alarm.share, alarm.rings) == (0.0, False)


@pytest.mark.parametrize(
    ("events", "dead", "rings"),
    [
        (1, 1, False),
        (LEAST_DEAD_LETTERS - 1, LEAST_DEAD_LETTERS - 1, False),
        (LEAST_DEAD_LETTERS, LEAST_DEAD_LETTERS, True),
        (WINDOW_EVENTS, 50, False),
        (WINDOW_EVENTS, 51, True),
    ],
)
def test_it_rings_above_its_share_of_enough_events(events: int, dead: int, rings: bool) -> None:
    alarm = saw(DeadLetterAlarm(0.05), events, dead)
    assert (alarm.share, alarm.rings) == (dead / events, rings)


def test_it_looks_at_the_last_events_whatever_the_flushes() -> None:
    alarm = saw(DeadLetterAlarm(0.01), 30, 30)
    for _ in range(9):
        saw(alarm, 100, 0)
    assert (alarm.share, alarm.rings) == (30 / 930, True)
    saw(alarm, 85, 0)
    assert (alarm.share, alarm.rings) == (15 / WINDOW_EVENTS, False)
    saw(alarm, 5 * WINDOW_EVENTS, 0)
    assert alarm.share == 0.0
    saw(alarm, 5 * WINDOW_EVENTS, 100)
    assert (alarm.share, alarm.rings) == (0.1, True)
