"""The plan of a flush: a pure function from a range of events, and the run states before them, to rows.

All decisions (repeated records, the step of each row, the spelling of each key) depend on the log only and not on its
division into flushes: planning [a, c) stores the same as planning [a, b) and then [b, c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from stepwell_ingestor.messages import DeadLetter, Received, redriven_session
from stepwell_ingestor.planner.accumulator import EarlySession, Flush, ForgottenGap, LeftOut, ReplacedTimes
from stepwell_ingestor.planner.arrivals import NO_GAPS, Arrival, arrive, everything
from stepwell_ingestor.planner.content import ContentDifference
from stepwell_ingestor.planner.layers import Layer
from stepwell_ingestor.planner.log_batches import take_batch
from stepwell_ingestor.planner.log_events import as_batch
from stepwell_ingestor.planner.point_tables import build_point_tables
from stepwell_ingestor.planner.rollups.plan import RollupPlan, plan_rollups
from stepwell_ingestor.planner.run_events import take_document, take_media
from stepwell_ingestor.planner.run_state import RunDocument, RunState
from stepwell_ingestor.planner.run_tables import (
    Activity,
    Session,
    add_up_counts,
    media_table,
    run_tables,
)
from stepwell_ingestor.planner.series_stats import series_table
from stepwell_schemas.events.models import NO_TIMESTAMP, LogBatch, LogEvent, MediaChunk, RunStarted
from stepwell_schemas.limits import VERSION_ROW_BITS
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, parse_stream


@dataclass
class FlushPlan:
    """The effects of a flush: rows by table in the order of insertion, dead letters, and the states after it.

    `rollups` and `rollup_plan` are stored after the tables of points and before all others. `clipped`: number of counts
    clipped at their column's maximum. `isolated`: number of events that made planning fail (see `isolation`). `early`:
    sessions that overtook their predecessors. `differing`: rows that are not stored as their session has sent them.
    `forgotten`: missing records that would not be stored if they arrived later. `late`: number of records stored that
    had been missing.
    `replaced_times`: times outside the range that can be stored.
    """

    tables: dict[str, pa.Table]
    rollup_plan: RollupPlan
    rollups: pa.Table | None
    end: int
    dead: list[DeadLetter]
    states: dict[RunPath, RunState]
    points: int
    repeated: int
    conflicts: int
    clipped: int
    isolated: int = 0
    early: Sequence[EarlySession] = ()
    differing: Sequence[ContentDifference] = ()
    forgotten: Sequence[ForgottenGap] = ()
    late: int = 0
    replaced_times: Sequence[ReplacedTimes] = ()


def plan_flush(
    received: Sequence[Received],
    dead: Sequence[DeadLetter],
    before: Mapping[RunPath, RunState],
    end: int,
    refused: Mapping[int, str] | None = None,
    levels: Sequence[int] = LEVELS,
    left_out: LeftOut | None = None,
    media_types: Mapping[str, str] | None = None,
) -> FlushPlan:
    """Plan the events of one partition up to offset `end`, in order.

    Args:
        received: the events.
        dead: dead letters of messages that could not be decoded; the plan includes them.
        before: the state of every run in `received` as of the first offset; not changed.
        end: the offset after the last event; the plan's states are as of this offset.
        refused: by event offset, the reasons why media files that the events complete are unusable.
        levels: rollup levels, ascending.
        left_out: rows that must not be stored. Leaving them out changes no other row.
        media_types: content types of known media files, by SHA-256; they are kept.
    """
    states = {path: state.fork() for path, state in before.items()}
    flush = Flush(states, refused or {}, left_out or LeftOut(), dict(media_types or {}))
    flush.dead.update({letter.message.offset: letter for letter in dead})
    for item in received:
        _take(flush, item)
    for path in flush.left_out.documents:
        flush.documents.pop(path, None)
        if path in before:
            flush.states[path].document = before[path].document
    clipped = add_up_counts(flush.states, flush.activity, flush.sessions)
    for (path, series), part in flush.series.items():
        flush.states[path].series[series] = part.finish()
    rollup_plan = plan_rollups(flush.columns, before, flush.states, levels)
    tables = build_point_tables(flush.columns)
    if flush.series:
        tables["series"] = series_table(flush.series, end)
    if flush.files:
        tables["media_files"] = media_table(flush.files)
    tables |= run_tables(
        flush.states, flush.activity, flush.sessions,
        flush.conflicts, flush.documents, flush.spellings, end,
    )  # fmt: skip
    return FlushPlan(
        tables=tables,
        rollup_plan=rollup_plan,
        rollups=rollup_plan.table(end),
        end=end,
        dead=[flush.dead[offset] for offset in sorted(flush.dead)],
        states=flush.states,
        points=sum(part.points - part.before.points for part in flush.series.values()),
        repeated=sum(activity.repeated for activity in flush.activity.values()),
        conflicts=len(flush.conflicts),
        clipped=clipped,
        early=flush.early,
        differing=flush.differing,
        forgotten=flush.forgotten,
        late=flush.late,
        replaced_times=flush.replaced_times,
    )


def _take(flush: Flush, item: Received) -> None:
    flush.part = Activity()
    flush.new_spellings = 0
    flush.part.saw(item.message.offset, item.timestamp)
    session, sequence = _session_position(item)
    arrival = _arrive(flush, item, session, sequence)
    if arrival.parts or not item.event.records:
        _store(flush, item, arrival)
    if item.message.origin and flush.part.dead_letters and not flush.part.points:
        # Nothing of it is stored. If it is redriven again later, it must not count as a repetition.
        sessions = flush.states[item.path].sessions
        assert isinstance(sessions, Layer)  # noqa: S101 - states of a flush are forks
        sessions.forget(session)
    writer = item.event.writer if isinstance(item.event, LogBatch | LogEvent | RunStarted) else ""
    own = parse_stream(writer) == DEFAULT
    flush.activity.setdefault(item.path, Activity()).add(flush.part if own else flush.part.side_stream())
    if session and sequence >= 0:
        flush.sessions.setdefault(Session(item.path, session, writer), Activity()).add(flush.part)
    if flush.part.dead_letters and flush.part.points:
        offset = item.message.offset
        flush.dead[offset] = flush.dead[offset]._replace(partly=True)


def is_repeated(item: Received, state: RunState) -> bool:
    """Return True if all records of an event were stored before, so that the planner skips it."""
    session, sequence = _session_position(item)
    if not session or sequence < 0:
        return False
    following, gaps = state.sessions.get(session, 0), state.gaps.get(session, NO_GAPS)
    return not arrive(following, gaps, sequence, item.event.records).parts


def _session_position(item: Received) -> tuple[str, int]:
    """Return an event's session and the sequence number of its first record; a redriven letter has its own session."""
    if item.message.origin:
        return redriven_session(item.message.origin), 0
    return item.event.session, item.event.sequence


def _store(flush: Flush, item: Received, arrival: Arrival) -> None:
    state = flush.states[item.path]
    version = item.message.offset << VERSION_ROW_BITS
    if state.document is None:
        state.document = RunDocument(item.path.run_id, created_at=item.timestamp, started_at=item.timestamp)
        flush.documents[item.path] = version
    if isinstance(item.event, LogBatch):
        take_batch(flush, item, item.event, arrival.parts)
        return
    if item.event.timestamp not in {item.timestamp, NO_TIMESTAMP}:
        flush.replaced_time(item, item.event.timestamp, 1)
    if isinstance(item.event, LogEvent):
        take_batch(flush, item, as_batch(item.event, item.timestamp), arrival.parts)
    elif isinstance(item.event, MediaChunk):
        take_media(flush, item, item.event)
    else:
        take_document(flush, item, state.document, late=arrival.is_late)


def _arrive(flush: Flush, item: Received, session: str, sequence: int) -> Arrival:
    """Return which of the event's records to store, and advance its session."""
    if not session or sequence < 0:
        return everything(item.event.records)
    state = flush.states[item.path]
    gaps = state.gaps.get(session, NO_GAPS)
    arrival = arrive(state.sessions.get(session, 0), gaps, sequence, item.event.records)
    state.sessions[session] = arrival.following
    if arrival.gaps != gaps:
        state.gaps[session] = arrival.gaps
    flush.part.repeated += arrival.repeated
    flush.part.missing += arrival.missing
    flush.late += max(-arrival.missing, 0)
    flush.forgotten += [ForgottenGap(item.path, session, *gap) for gap in arrival.forgotten]
    return arrival
