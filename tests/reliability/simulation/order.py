"""The order in which a log must hold what training processes have logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reliability.simulation.reference import Differences
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import LogBatch, LogEvent


@dataclass
class Logged:
    """A session: the number of its rows, and the sessions of its writer that had ended before it began."""

    session: str
    writer: str
    before: set[str]
    rows: int = 0
    ended: bool = False


def check_order(log: Sequence[bytes], sessions: Sequence[Logged]) -> Differences:
    """Compare a log with what was logged: everything is in it, after all of the earlier sessions of its writer."""
    first: dict[tuple[str, int], int] = {}
    for place, value in enumerate(log):
        event = decode(value)
        assert isinstance(event, LogBatch | LogEvent)
        for number in range(event.sequence, event.sequence + event.records):
            first.setdefault((event.session, number), place)
    problems, lost = [], 0
    places = {
        one.session: [first[one.session, row] for row in range(one.rows) if (one.session, row) in first]
        for one in sessions
    }
    for one in sessions:
        missing = one.rows - len(places[one.session])
        lost += missing
        if missing:
            problems.append(f"{one.session}: {missing} of {one.rows} rows are not in the log")
        if places[one.session] != sorted(places[one.session]):
            problems.append(f"{one.session}: its rows are not in their order")
        problems += [
            f"{one.session} begins in the log before the end of {other}, which had ended before it"
            for other in sorted(one.before)
            if places[one.session] and places[other] and max(places[other]) > min(places[one.session])
        ]
    return Differences(sum(map(len, places.values())), lost, 0, problems)
