"""Keep two processes apart that log under one writer's name, as on two hosts that were given the same rank.

The SDK gives each process of a machine a name of its own, and sees no other machine. In the log, such processes are two
sessions of a writer of which the one that began first still logs rows after the other has begun. From then on, it has a
name with a number, so that the values of one do not replace those of the other. The session that began last keeps the
name, since a process that was restarted elsewhere looks the same at its start; the one before it has logged all its
rows before, whenever they arrive.
"""

from __future__ import annotations

from itertools import count
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np

from stepwell_ingestor.messages import Received
from stepwell_ingestor.planner.run_state import RunState
from stepwell_schemas.events.models import LogBatch, LogEvent, RunStarted
from stepwell_schemas.limits import LATEST_TIMESTAMP
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, parse_stream
from stepwell_schemas.rules.writers import number_writer

CLOCKS_DIFFER_US: Final = 10_000_000
"""The clocks of a job's hosts differ by less, in µs: rows that are later than a start by more were logged after it."""

_SECOND: Final = 2


class SharedWriter(NamedTuple):
    """A writer's name that a session used although a later one has begun.

    `overlap` is the time since then, in µs; `stored_as` the name of the session's rows from then on.
    """

    path: RunPath
    writer: str
    session: str
    overlap: int
    stored_as: str


def keep_apart(state: RunState, item: Received) -> tuple[Received, SharedWriter | None]:
    """Return an event with the name under which its session is stored, and the shared name that it reveals.

    A session that continues one with a number has that number, too.
    """
    event = item.event
    if not isinstance(event, LogBatch | LogEvent | RunStarted) or not event.session or not _is_named(event.writer):
        return item, None
    shared = None
    if isinstance(event, RunStarted):
        if event.predecessor in state.numbered:
            state.numbered[event.session] = state.numbered[event.predecessor]
    elif (overlap := _overlap(state, item, event)) > CLOCKS_DIFFER_US:
        shared = SharedWriter(item.path, event.writer, event.session, overlap, _rename(state, event))
    if event.session not in state.numbered:
        return item, None
    return item._replace(event=event.model_copy(update={"writer": _name(state, event)})), shared


def note_start(state: RunState, event: RunStarted, at: int) -> None:
    """Remember the session of a named writer that was started last, at the time `at` in µs."""
    if _is_named(event.writer) and event.session and at >= state.writer_starts.get(event.writer, 0):
        state.writer_starts[event.writer] = at
        state.last_sessions[event.writer] = _checksum(event.session)


def _name(state: RunState, event: LogBatch | LogEvent | RunStarted) -> str:
    return number_writer(event.writer, state.numbered.get(event.session, 1))


def _overlap(state: RunState, item: Received, event: LogBatch | LogEvent) -> int:
    """Return the time in µs since another session has begun under the session's name, 0 if none has."""
    name = _name(state, event)
    began = state.writer_starts.get(name)
    if began is None or state.last_sessions.get(name) == _checksum(event.session):
        return 0
    return _last_logged(item, event) - began


def _last_logged(item: Received, event: LogBatch | LogEvent) -> int:
    """Return the time of the event's last row in µs, 0 if it has no row with a time that can be."""
    if isinstance(event, LogEvent):
        return item.timestamp
    times = np.frombuffer(event.timestamps, "<i8")
    return int(times[times <= LATEST_TIMESTAMP].max(initial=0))


def _rename(state: RunState, event: LogBatch | LogEvent) -> str:
    """Give the session of an event the first free name, under which the count of steps continues; return the name."""
    before = _name(state, event)
    number, name = next(
        (number, name)
        for number in count(_SECOND)
        if (name := number_writer(event.writer, number)) not in state.writers and name not in state.writer_starts
    )
    state.numbered[event.session] = number
    state.shared_writers[before] = state.writer_starts[before]
    state.wrote(name, state.writer(before))
    return name


def _is_named(writer: str) -> bool:
    """Return whether a writer has a name. Processes without one share a writer on purpose."""
    return bool(writer) and parse_stream(writer) == DEFAULT


def _checksum(session: str) -> int:
    return crc32(session.encode())
