"""The order in which a log must hold what training processes have logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reliability.simulation.reference import Differences
from reliability.simulation.rows import python_rows
from reliability.simulation.shortcuts import RememberingCodec, shortcuts
from stepwell_ingestor.messages import Message, receive_all
from stepwell_ingestor.planner.plan import plan_flush
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import LogBatch, LogEvent


@dataclass
class Logged:
    """A session: the number of its rows, and the sessions of its writer that had ended before it began.

    `first` is the value of its first row; each further row has the next one.
    """

    session: str
    writer: str
    before: set[str]
    first: int = 0
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


def check_steps(log: Sequence[bytes], sessions: Sequence[Logged]) -> list[str]:
    """Return the writers whose rows would not be stored at the steps 0, 1, 2, …, which are also their values.

    The sessions of a writer must follow one another, and count on from one another by `first`.
    """
    messages = [Message(offset, 0, None, value) for offset, value in enumerate(log)]
    with shortcuts():
        received, unreadable = receive_all(RememberingCodec(), messages)
        plan = plan_flush(received, unreadable, {item.path: RunState() for item in received}, len(messages))
    rows = python_rows("points_number", plan.tables["points_number"]) if "points_number" in plan.tables else []
    wanted: Counter[str] = Counter()
    for one in sessions:
        wanted[one.writer] += one.rows
    found: dict[str, set[tuple[int, float]]] = {writer: set() for writer in wanted}
    for row in rows:
        found[row["writer"]].add((row["step"], row["value"]))
    return [
        f"{writer}: not at their steps: {sorted(stored ^ {(n, float(n)) for n in range(wanted[writer])})}"[:1_000]
        for writer, stored in found.items()
        if stored != {(n, float(n)) for n in range(wanted[writer])}
    ]
