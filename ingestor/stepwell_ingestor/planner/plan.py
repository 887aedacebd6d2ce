"""The plan of a flush: a pure function from a range of events, and the run states before them, to rows.

All decisions (repeated records, the step of each row, the spelling of each key) depend on the log only and not on its
division into flushes: planning [a, c) stores the same as planning [a, b) and then [b, c).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from stepwell_ingestor.messages import EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, DeadLetter, Received, redriven_session
from stepwell_ingestor.planner.blocks import block_values, first_row, strict_block
from stepwell_ingestor.planner.layers import Layer
from stepwell_ingestor.planner.log_events import as_batch
from stepwell_ingestor.planner.point_tables import Columns, Int64s, build_point_tables
from stepwell_ingestor.planner.rollups.plan import RollupPlan, plan_rollups
from stepwell_ingestor.planner.run_state import RunDocument, RunState, SeriesId
from stepwell_ingestor.planner.run_tables import (
    Activity,
    Conflict,
    MediaFile,
    Session,
    add_up_counts,
    media_table,
    run_tables,
)
from stepwell_ingestor.planner.series_stats import SeriesPart, series_table, split_by_series
from stepwell_ingestor.planner.totals import NO_TOTALS
from stepwell_schemas.clickhouse.tables import POINT_TABLES
from stepwell_schemas.errors import DeadLetterReason, KeyRuleError, shorten
from stepwell_schemas.events.models import Block, LogBatch, LogEvent, MediaChunk, RunFinished, RunStarted, RunUpdated
from stepwell_schemas.limits import MAX_BATCH_ROWS, VERSION_ROW_BITS
from stepwell_schemas.rollups.sql import LEVELS
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.keys import check_key
from stepwell_schemas.rules.steps import NO_STEP, resolve
from stepwell_schemas.rules.streams import DEFAULT, parse_stream

_DETAIL_CHARS: Final = 1_000


class EarlySession(NamedTuple):
    """A session that began in the log before all records of its predecessor had arrived; `missing` had not."""

    path: RunPath
    session: str
    predecessor: str
    missing: int

    def as_fields(self) -> dict[str, str | int]:
        """Return the fields of a log event."""
        return {**self._asdict(), "path": str(self.path)}


@dataclass
class FlushPlan:
    """The effects of a flush: rows by table in the order of insertion, dead letters, and the states after it.

    `rollups` and `rollup_plan` are stored after the tables of points and before all others. `clipped`: number of counts
    clipped at their column's maximum. `isolated`: number of events that made planning fail (see `isolation`). `early`:
    sessions that overtook their predecessors.
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


@dataclass
class LeftOut:
    """Rows of a flush that ClickHouse refuses, with reasons: values by table and event offset, documents by run."""

    values: dict[tuple[str, int], str] = field(default_factory=dict)
    documents: dict[RunPath, str] = field(default_factory=dict)

    def add(self, other: LeftOut) -> None:
        """Add further refused rows."""
        self.values |= other.values
        self.documents |= other.documents

    def __len__(self) -> int:
        return len(self.values) + len(self.documents)


@dataclass
class _Flush:
    """Accumulator of the planner; `part` and `new_spellings` belong to the current event."""

    states: dict[RunPath, RunState]
    refused: Mapping[int, str]
    left_out: LeftOut
    media_types: dict[str, str]
    files: list[MediaFile] = field(default_factory=list)
    columns: list[Columns] = field(default_factory=list)
    series: dict[tuple[RunPath, SeriesId], SeriesPart] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    activity: dict[RunPath, Activity] = field(default_factory=dict)
    sessions: dict[Session, Activity] = field(default_factory=dict)
    part: Activity = field(default_factory=Activity)
    new_spellings: int = 0
    documents: dict[RunPath, int] = field(default_factory=dict)
    spellings: list[tuple[RunPath, str, str, int]] = field(default_factory=list)
    dead: dict[int, DeadLetter] = field(default_factory=dict)
    early: list[EarlySession] = field(default_factory=list)

    def refuse(self, item: Received, reason: DeadLetterReason, detail: str) -> None:
        """Record that a part of an event can't be stored; all refused parts of an event share one dead letter."""
        self.part.dead_letters = 1
        known = self.dead.get(item.message.offset)
        if known is None:
            self.dead[item.message.offset] = DeadLetter(item.message, reason, detail)
        elif len(known.detail) < _DETAIL_CHARS:
            self.dead[item.message.offset] = known._replace(detail=f"{known.detail}; {detail}")


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
    flush = _Flush(states, refused or {}, left_out or LeftOut(), dict(media_types or {}))
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
    )


def _take(flush: _Flush, item: Received) -> None:
    flush.part = Activity()
    flush.new_spellings = 0
    flush.part.saw(item.message.offset, item.timestamp)
    session, sequence = _session_position(item)
    skipped = _skip_repeated(flush, item, session, sequence)
    if skipped < item.event.records or not item.event.records:
        _store(flush, item, skipped)
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
    return bool(session) and 0 <= sequence <= state.sessions.get(session, 0) - item.event.records


def _session_position(item: Received) -> tuple[str, int]:
    """Return an event's session and the sequence number of its first record; a redriven letter has its own session."""
    if item.message.origin:
        return redriven_session(item.message.origin), 0
    return item.event.session, item.event.sequence


def _store(flush: _Flush, item: Received, skipped: int) -> None:
    state = flush.states[item.path]
    version = item.message.offset << VERSION_ROW_BITS
    if state.document is None:
        state.document = RunDocument(item.path.run_id, created_at=item.timestamp, started_at=item.timestamp)
        flush.documents[item.path] = version
    if isinstance(item.event, LogBatch):
        _take_batch(flush, item, item.event, skipped)
    elif isinstance(item.event, LogEvent):
        _take_batch(flush, item, as_batch(item.event, item.timestamp), 0)
    elif isinstance(item.event, MediaChunk):
        _take_media(flush, item, item.event)
    else:
        _take_document(flush, item, state.document)


def _skip_repeated(flush: _Flush, item: Received, session: str, sequence: int) -> int:
    """Return the number of the event's records that were stored before, and advance its session."""
    if not session or sequence < 0:
        return 0
    sessions, records = flush.states[item.path].sessions, item.event.records
    following = sessions.get(session, 0)
    skipped = min(max(following - sequence, 0), records)
    flush.part.repeated += skipped
    flush.part.missing += max(sequence - following, 0)
    sessions[session] = max(following, sequence + records)
    return skipped


def _take_document(flush: _Flush, item: Received, document: RunDocument) -> None:
    state, event = flush.states[item.path], item.event
    if item.path not in flush.documents:
        # Copied once per flush and not per event: a flush may hold thousands of changes to a large document.
        document = state.document = document.copy()
    why = flush.left_out.documents.get(item.path)
    if why is not None:
        flush.refuse(item, DeadLetterReason.UNUSABLE, why)
    try:
        if isinstance(event, RunStarted):
            document.start(event, item.timestamp)
            _look_for_predecessor(flush, item.path, event)
            if event.resumed:
                # Also if the document is left out: later rows must get the same steps either way.
                state.resume(event.writer)
        elif isinstance(event, RunUpdated):
            document.update(event)
        elif isinstance(event, RunFinished):
            document.finish(event, item.timestamp)
    except ValueError as error:
        flush.refuse(item, DeadLetterReason.BAD_VALUE, f"{event.name}: {error}")
        return
    flush.documents[item.path] = item.message.offset << VERSION_ROW_BITS


def _look_for_predecessor(flush: _Flush, path: RunPath, event: RunStarted) -> None:
    """Record that a session overtook its predecessor: nothing is held back, since its rows carry their own steps."""
    missing = event.predecessor_sequence - flush.states[path].sessions.get(event.predecessor, 0)
    if event.predecessor and missing > 0:
        flush.early.append(EarlySession(path, event.session, event.predecessor, missing))


def _take_media(flush: _Flush, item: Received, chunk: MediaChunk) -> None:
    """Record a file when its last chunk has arrived; its bytes are stored already."""
    refusal = flush.refused.get(item.message.offset)
    if refusal is not None:
        flush.refuse(item, DeadLetterReason.BAD_MEDIA, refusal)
    elif chunk.index == chunk.count - 1:
        version = item.message.offset << VERSION_ROW_BITS
        # Another run, in another partition, may log the same file: the first content type stored is kept.
        content_type = flush.media_types.setdefault(chunk.sha256, chunk.content_type)
        flush.files.append(MediaFile(item.path, chunk.sha256, chunk.size, content_type, version))


def _take_batch(flush: _Flush, item: Received, batch: LogBatch, skipped: int) -> None:
    state, rows = flush.states[item.path], batch.rows
    asked = None if batch.steps is None else np.frombuffer(batch.steps, "<i8")[skipped:]
    commits = None if batch.commits is None else np.frombuffer(batch.commits, np.int8)[skipped:]
    # A redriven dead letter is late: its requested steps are used as they are and don't advance the writer. If its
    # first row has no requested step, its rows continue from the writer's current step.
    late = bool(item.message.origin) and asked is not None and len(asked) > 0 and asked[0] != NO_STEP
    resolved = resolve(0 if late else state.writers.get(batch.writer, 0), asked, commits, rows - skipped)
    if not late:
        state.writers[batch.writer] = resolved.current
    if len(resolved.steps) and parse_stream(batch.writer) == DEFAULT:
        state.reached(int(resolved.steps.max()))
    timestamps = _usable_times(np.frombuffer(batch.timestamps, "<i8"), item.timestamp)
    versions = np.arange(rows, dtype=np.uint64) + np.uint64(item.message.offset << VERSION_ROW_BITS)
    flush.part.logged(resolved.steps, timestamps[skipped:])
    if asked is not None:
        for row in np.flatnonzero(resolved.conflicts).tolist():
            place = row + skipped
            flush.conflicts.append(
                Conflict(
                    item.path, batch.writer, int(asked[row]), int(resolved.steps[row]),
                    int(timestamps[place]), int(versions[place]),
                )
            )  # fmt: skip
            flush.part.conflicts += 1
    # Rows before `skipped` are not resolved; the padding keeps row numbers those of the batch.
    steps = np.concatenate([np.zeros(skipped, np.int64), resolved.steps]) if skipped else resolved.steps
    # In the order of rows: a batch divided differently must give a key the same first spelling.
    for block in sorted(batch.blocks, key=first_row):
        _take_block(flush, item, block, skipped, (steps, timestamps, versions), parse_stream(batch.writer))


def _usable_times(timestamps: Int64s, instead: int) -> Int64s:
    if not len(timestamps) or (timestamps.min() >= EARLIEST_TIMESTAMP and timestamps.max() <= LATEST_TIMESTAMP):
        return timestamps
    return np.where((timestamps < EARLIEST_TIMESTAMP) | (timestamps > LATEST_TIMESTAMP), instead, timestamps)


def _take_block(
    flush: _Flush,
    item: Received,
    block: Block,
    skipped: int,
    rows_of: tuple[Int64s, Int64s, np.ndarray],
    stream: str,
) -> None:
    steps, timestamps, versions = rows_of
    rows, left_out = len(steps), skipped
    kept: slice | Int64s = slice(skipped, None)
    if block.rows is not None:
        numbers = np.frombuffer(block.rows, "<u4").astype(np.int64)
        rows = len(numbers)
        if rows and (int(numbers[-1]) >= len(steps) or bool((numbers[1:] <= numbers[:-1]).any())):
            detail = f"block of {len(block.keys)} keys: its rows are not ascending numbers below {len(steps)}"
            flush.refuse(item, DeadLetterReason.BAD_VALUE, detail)
            return
        left_out = int(np.searchsorted(numbers, skipped))
        kept = numbers[left_out:]
    if left_out >= rows:
        return
    block, unusable = strict_block(block, rows)
    places, keys, taken = _stored_keys(flush, item, block, unusable)
    # Not earlier: a key gets its spelling from the first event that logs it, even if the values are refused.
    why = flush.left_out.values.get((POINT_TABLES[block.kind], item.message.offset))
    if why is not None:
        flush.refuse(item, DeadLetterReason.UNUSABLE, why)
    if not keys or why is not None:
        return
    columns = Columns(
        item.path, block.kind, keys, steps[kept], timestamps[kept], versions[kept],
        *block_values(block, rows, left_out, places),
    )  # fmt: skip
    flush.columns.append(columns)
    flush.part.points += taken * (rows - left_out)
    _add_series(flush, item.path, columns, stream)


def _stored_keys(
    flush: _Flush, item: Received, block: Block, unusable: Mapping[int, str]
) -> tuple[list[int], list[str], int]:
    """Return the indices of the keys to store, their stored spellings, and the number of storable keys."""
    state = flush.states[item.path]
    places: dict[str, int] = {}
    taken = 0
    for place, key in enumerate(block.keys):
        try:
            check_key(key)
        except KeyRuleError as error:
            flush.refuse(item, DeadLetterReason.BAD_KEY, str(error))
            continue
        if place in unusable:
            flush.refuse(item, DeadLetterReason.BAD_VALUE, f"key {shorten(key)}: a value {unusable[place]}")
            continue
        # If a block has two spellings of one metric, the later one overwrites the earlier one, as within a step.
        stored, folded = state.stored_key(key)
        places[stored] = place
        taken += 1
        if folded:
            # Versions define the order of an event's spellings.
            version = item.message.offset << VERSION_ROW_BITS | min(flush.new_spellings, MAX_BATCH_ROWS - 1)
            flush.spellings.append((item.path, folded, key, version))
            flush.new_spellings += 1
    return list(places.values()), list(places), taken


def _add_series(flush: _Flush, path: RunPath, columns: Columns, stream: str) -> None:
    known = flush.states[path].series
    for key, part in zip(columns.keys, split_by_series(columns, stream), strict=True):
        if not isinstance(part.last[2], str):
            part.last = (part.last[0], part.last[1], float(part.last[2]))
        series = (key, str(columns.kind))
        earlier = flush.series.get((path, series))
        if earlier is None:
            part.follow(known.get(series, NO_TOTALS))
            flush.series[path, series] = part
        else:
            earlier.add(part)
