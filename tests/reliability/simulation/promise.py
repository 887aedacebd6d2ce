"""The promise that holds whatever happens to the environment, checked against the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from reliability.simulation.broker import Broker
from reliability.simulation.reference import Differences, Tables, added_up
from reliability.simulation.rollups import differences
from reliability.simulation.senders import Sender
from reliability.simulation.store import SimulatedStore
from stepwell_ingestor.positions.evidence import NEW_LOGS
from stepwell_schemas.events.codec import decode
from stepwell_schemas.events.models import LogBatch

_SHOWN: Final = 5
_EXPIRED: Final = "records_missing"
_LOST_LOG: Final = frozenset(map(str, NEW_LOGS))
Places = set[tuple[str, int]]
"""Rows by session and number, which is also their step."""


def next_sequences(tables: Tables) -> Mapping[str, int]:
    """Return the number of rows that are stored or known to be missing, by session."""
    reached: dict[str, int] = {}
    for row in tables.get("session_activity", ()):
        reached[row["session"]] = max(reached.get(row["session"], 0), row["next_sequence"])
    return reached


def check(
    store: SimulatedStore,
    broker: Broker,
    senders: Mapping[str, Sender],
    logged: Sequence[Mapping[str, Any]],
) -> Differences:
    """Compare the tables with what the log holds and what was sent."""
    tables = store.tables
    held = {place for log in broker.logs.values() for message in log.messages for place in _places(message.value)}
    stored = _stored(tables)
    lost = held - stored.keys()
    problems = [f"in the log and not stored: {sorted(lost)[:_SHOWN]}"] if lost else []
    sent = {
        (one.session, one.first + row) for sender in senders.values() for one in sender.sent for row in range(one.rows)
    }
    invented = [place for place, value in stored.items() if place not in sent or value != place[1] + 0.5]
    if invented:
        problems.append(f"stored at a place where it was not logged: {sorted(invented)[:_SHOWN]}")
    # A flush that was abandoned because the log has lost its records may have stored some of their values.
    # So may one whose first records expired before it was repeated.
    events = {entry["event"] for entry in logged}
    # If its plan went with the group's offset as well, nothing shows that the log was cut, nor, before it has written
    # states, that there was a flush.
    cut = broker.plans_lost and any(log.leader_epoch for log in broker.logs.values())
    exact = not cut and not events & {_EXPIRED, *_LOST_LOG}
    problems += _counts(tables, senders, set(stored), exact=exact)
    if exact:
        problems += store.closed_early
        found = differences(tables.get("rollups", ()), tables.get("points_number", ()), store.levels)
        problems += [f"{len(found)} rollups differ: {found[:_SHOWN]}"[:2_000]] if found else []
    return Differences(len(stored), len(lost), 0, problems)


def _places(value: bytes) -> Places:
    event = decode(value)
    assert isinstance(event, LogBatch)
    return {(event.session, event.sequence + row) for row in range(event.rows)}


def _stored(tables: Tables) -> dict[tuple[str, int], float]:
    rows = sorted(tables.get("points_number", ()), key=lambda row: int(row["version"]))
    return {(row["key"], row["step"]): row["value"] for row in rows}


def _counts(tables: Tables, senders: Mapping[str, Sender], stored: Places, *, exact: bool) -> list[str]:
    """Compare the counts of sessions, runs and series with the rows that are stored."""
    sessions = {place[3]: counts["totals"] for place, counts in added_up("session_activity", tables).items()}
    runs = {place[2]: counts["totals"] for place, counts in added_up("run_activity", tables).items()}
    series = {place[3]: counts["totals"] for place, counts in added_up("series", tables).items()}
    problems = []
    by_run: Counter[str] = Counter()
    for name, sender in senders.items():
        rows = sum(session == name for session, _ in stored)
        by_run[sender.path.run_id] += rows
        have = sessions.get(name, {})
        counted, missing = have.get("log_rows", 0), have.get("missing", 0)
        if sender.written != counted + missing:
            problems.append(
                f"{name}: {sender.written} rows logged, {counted} counted as stored and {missing} as missing"
            )
        points = series.get(name, {}).get("points", 0)
        if exact and not rows == counted == points:
            problems.append(f"{name}: {rows} rows stored, {counted} counted, {points} points in its series")
        if rows < counted or rows < points:
            problems.append(f"{name}: {rows} rows stored, but {counted} counted, {points} points in its series")
    problems += [
        f"{run}: {rows} rows stored, {runs.get(run, {}).get('log_rows')} counted"
        for run, rows in by_run.items()
        if exact and runs.get(run, {}).get("log_rows") != rows
    ]
    return problems
