"""The plan of a flush: a pure function from a range of events, and the run states before them, to rows.

All decisions (repeated records, the step of each row, the spelling of each key) depend on the log only and not on its
division into flushes: planning [a, c) stores the same as planning [a, b) and then [b, c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from stepwell_ingestor.messages import DeadLetter, Received, redriven_session
from stepwell_ingestor.planner.accumulator import Deletion, EarlySession, Flush, ForgottenGap, LeftOut, ReplacedTimes
from stepwell_ingestor.planner.arrivals import NO_GAPS, Arrival, arrive, everything
from stepwell_ingestor.planner.content import ContentDifference
from stepwell_ingestor.planner.deletions import delete_run, drop_late, is_of_deleted_run
from stepwell_ingestor.planner.flush_series import number_series
from stepwell_ingestor.planner.layers import Layer
from stepwell_ingestor.planner.log_batches import take_batch
from stepwell_ingestor.planner.log_events import as_batch
from stepwell_ingestor.planner.point_tables import build_point_tables
from stepwell_ingestor.planner.rollups.plan import RollupPlan, plan_rollups
from stepwell_ingestor.planner.run_document import RunDocument
from stepwell_ingestor.planner.run_events import take_document, take_media
from stepwell_ingestor.planner.run_state import DOCUMENT_SINCE, RunState
from stepwell_ingestor.planner.run_tables import (
    Activity,
    Session,
    add_up,
    add_up_counts,
    media_table,
    run_tables,
)
from stepwell_ingestor.planner.series_stats import series_stats, series_table
from stepwell_ingestor.planner.shared_writers import SharedWriter, keep_apart
from stepwell_schemas.events.models import (
    NO_TIMESTAMP,
    LogBatch,
    LogEvent,
    MediaChunk,
    RunDeleted,
    RunStarted,
    RunUpdated,
)
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
    `deletions`: the runs that were deleted, whose earlier rows are to be removed before anything is inserted.
    `dropped`: number of records of deleted runs that arrived late. `shared_writers`: the writers' names that two
    processes use at the same time.
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
    shared_writers: Sequence[SharedWriter] = ()
    differing: Sequence[ContentDifference] = ()
    forgotten: Sequence[ForgottenGap] = ()
    late: int = 0
    replaced_times: Sequence[ReplacedTimes] = ()
    deletions: Mapping[RunPath, Deletion] = field(default_factory=dict)
    dropped: int = 0

    @property
    def begins(self) -> dict[RunPath, int]:
        """The logical offsets at which runs begin whose names deleted runs had."""
        return {path: state.begins for path, state in self.states.items() if state.deletion}


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
            base = flush.states[path].parent
            flush.states[path].document = None if base is None else base.document
    activity = {path: add_up(parts) for path, parts in flush.activity.items()}
    sessions = {session: add_up(parts) for session, parts in flush.sessions.items()}
    clipped = add_up_counts(flush.states, activity, sessions)
    series, ledgers = number_series(flush.columns), {path: state.series for path, state in flush.states.items()}
    tables, rollup_plan = build_point_tables(series), RollupPlan(levels, series)
    if len(series):
        known = series.known(ledgers)
        stats = series_stats(series, known.totals)
        rollup_plan = plan_rollups(series, known, ledgers, levels)
        known_after = known.levels if rollup_plan.known is None else rollup_plan.known
        series.keep(ledgers, stats.after, known_after, rollup_plan.opened)
        tables["series"] = series_table(series, stats, end)
    if flush.files:
        tables["media_files"] = media_table(flush.files)
    tables |= run_tables(
        flush.states, activity, sessions,
        flush.conflicts, flush.documents, flush.spellings, end,
        {path: deletion.before for path, deletion in flush.deletions.items()},
    )  # fmt: skip
    return FlushPlan(
        tables=tables,
        rollup_plan=rollup_plan,
        rollups=rollup_plan.table(end),
        end=end,
        dead=[flush.dead[offset] for offset in sorted(flush.dead)],
        states=flush.states,
        points=int((series.widths * series.rows).sum()),
        repeated=sum(part.repeated for part in activity.values()),
        conflicts=len(flush.conflicts),
        clipped=clipped,
        early=flush.early,
        shared_writers=flush.shared_writers,
        differing=flush.differing,
        forgotten=flush.forgotten,
        late=flush.late,
        replaced_times=flush.replaced_times,
        deletions=flush.deletions,
        dropped=flush.dropped,
    )


def _take(flush: Flush, item: Received) -> None:
    if isinstance(item.event, RunDeleted):
        delete_run(flush, item)
        return
    if is_of_deleted_run(item, flush.states[item.path]):
        drop_late(flush, item)
        return
    flush.part = Activity()
    flush.new_spellings = 0
    if isinstance(item.event, RunUpdated) and item.event.edited:
        flush.part.changed(item.message.offset, flush.states[item.path])
    else:
        flush.part.saw(item.message.offset, item.timestamp)
    session, sequence = _session_position(item)
    arrival = _arrive(flush, item, session, sequence)
    if arrival.parts or not item.event.records:
        item, shared = keep_apart(flush.states[item.path], item)
        flush.shared_writers += [shared] if shared else []
        _store(flush, item, arrival)
    if item.message.origin and flush.part.dead_letters and not flush.part.points:
        # Nothing of it is stored. If it is redriven again later, it must not count as a repetition.
        sessions = flush.states[item.path].sessions
        assert isinstance(sessions, Layer)  # noqa: S101 - states of a flush are forks
        sessions.forget(session)
    writer = item.event.writer if isinstance(item.event, LogBatch | LogEvent | RunStarted) else ""
    own = parse_stream(writer) == DEFAULT
    flush.activity.setdefault(item.path, []).append(flush.part if own else flush.part.side_stream())
    if session and sequence >= 0:
        flush.sessions.setdefault(Session(item.path, session, writer), []).append(flush.part)
    if flush.part.dead_letters and flush.part.points:
        offset = item.message.offset
        flush.dead[offset] = flush.dead[offset]._replace(partly=True)


def is_repeated(item: Received, state: RunState) -> bool:
    """Return True if the planner skips an event: all its records were stored before, or are of a deleted run."""
    if is_of_deleted_run(item, state):
        return True
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
        state.counters[DOCUMENT_SINCE] = item.message.offset
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
