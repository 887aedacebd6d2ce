"""Plan batches of logged rows: the step of each row, the stored spelling of each key, and each series' part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.messages import Received
from stepwell_ingestor.planner.accumulator import Flush, StoredKeys
from stepwell_ingestor.planner.arrivals import Part, marked_rows
from stepwell_ingestor.planner.blocks import block_values, first_row, strict_block
from stepwell_ingestor.planner.columns import Columns, Int64s, bounds
from stepwell_ingestor.planner.content import ContentCheck, ContentDifference, SessionContent, begin_check
from stepwell_ingestor.planner.run_tables import (
    Conflict,
)
from stepwell_ingestor.planner.session_steps import FINAL, resolve_batch
from stepwell_schemas.clickhouse.tables import POINT_TABLES
from stepwell_schemas.errors import DeadLetterReason, KeyRuleError, shorten
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.limits import EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, MAX_BATCH_ROWS, VERSION_ROW_BITS
from stepwell_schemas.rules.content import MASK
from stepwell_schemas.rules.keys import check_key
from stepwell_schemas.rules.streams import DEFAULT, parse_stream, series_writer


class _Rows(NamedTuple):
    """The rows of a batch: their steps, times and versions, and marks of those to store (None: all).

    Steps of rows that were stored earlier are 0.
    """

    steps: Int64s
    timestamps: Int64s
    versions: NDArray[np.uint64]
    marks: NDArray[np.bool_] | None


def take_batch(flush: Flush, item: Received, batch: LogBatch, parts: Sequence[Part]) -> None:
    """Plan the rows in some parts of a batch; the others were stored earlier."""
    state, marks = flush.states[item.path], marked_rows(parts, batch.rows)
    resolved = resolve_batch(state, batch, parts, redriven=bool(item.message.origin))
    if len(resolved.steps) and parse_stream(batch.writer) == DEFAULT:
        state.reached(bounds(resolved.steps)[1])
    named = np.frombuffer(batch.timestamps, "<i8")
    timestamps = _usable_times(named, item.timestamp)
    if timestamps is not named:
        replaced = named[(named != timestamps) if marks is None else (named != timestamps) & marks]
        if len(replaced):
            flush.replaced_time(item, int(replaced[0]), len(replaced))
    first_version = item.message.offset << VERSION_ROW_BITS
    versions = np.arange(first_version, first_version + batch.rows, dtype=np.uint64)
    flush.part.logged(resolved.steps, timestamps if marks is None else timestamps[marks])
    steps = resolved.steps
    if marks is not None:
        # Rows that are not planned are not resolved; the padding keeps row numbers those of the batch.
        steps = np.zeros(batch.rows, np.int64)
        steps[marks] = resolved.steps
    rows = _Rows(steps, timestamps, versions, marks)
    _add_conflicts(flush, item, batch, rows, resolved.conflicts)
    final = state.lines.get(batch.session, FINAL) == FINAL
    check = begin_check(batch, marks, resolved.steps, final=final)
    # In the order of rows: a batch divided differently must give a key the same first spelling.
    for block in sorted(batch.blocks, key=first_row):
        _take_block(flush, item, block, rows, check, batch.writer)
    if check is not None:
        _add_content(flush, item, batch, parts, check)


def _add_conflicts(flush: Flush, item: Received, batch: LogBatch, rows: _Rows, conflicts: NDArray[np.bool_]) -> None:
    """Record the planned rows that requested a step below their writer's current one."""
    if batch.steps is None or not conflicts.any():
        return
    asked = np.frombuffer(batch.steps, "<i8")
    places = np.arange(batch.rows) if rows.marks is None else np.flatnonzero(rows.marks)
    for place in places[conflicts].tolist():
        flush.conflicts.append(
            Conflict(
                item.path, batch.writer, int(asked[place]), int(rows.steps[place]),
                int(rows.timestamps[place]), int(rows.versions[place]),
            )
        )  # fmt: skip
        flush.part.conflicts += 1


def _add_content(flush: Flush, item: Received, batch: LogBatch, parts: Sequence[Part], check: ContentCheck) -> None:
    """Add the content of a batch to its session, and record a difference that no dead letter explains."""
    rows, differing = sum(part.end - part.first for part in parts), 0
    if check.differs(batch.content) and not flush.part.dead_letters:
        differing = rows
        first = batch.sequence + (parts[0].first if parts else 0)
        flush.differing.append(ContentDifference(item.path, batch.session, item.message.offset, first, rows))
    flush.part.content = SessionContent(check.planned & MASK, rows, differing, check.moved)


def _usable_times(timestamps: Int64s, instead: int) -> Int64s:
    """Return the times that can be stored; if all of them can, the same array."""
    if not len(timestamps):
        return timestamps
    first, last = bounds(timestamps)
    if first >= EARLIEST_TIMESTAMP and last <= LATEST_TIMESTAMP:
        return timestamps
    return np.where((timestamps < EARLIEST_TIMESTAMP) | (timestamps > LATEST_TIMESTAMP), instead, timestamps)


def _take_block(
    flush: Flush, item: Received, block: Block, of_batch: _Rows, check: ContentCheck | None, writer: str
) -> None:
    rows, marks = len(of_batch.steps), of_batch.marks
    # Indices of the planned values among a key's values in the block, and of their rows in the batch.
    chosen = None if marks is None else np.flatnonzero(marks)
    kept: slice | Int64s = slice(None) if chosen is None else chosen
    if block.rows is not None:
        numbers = np.frombuffer(block.rows, "<u4").astype(np.int64)
        if len(numbers) and (int(numbers[-1]) >= rows or bool((numbers[1:] <= numbers[:-1]).any())):
            detail = f"block of {len(block.keys)} keys: its rows are not ascending numbers below {rows}"
            flush.refuse(item, DeadLetterReason.BAD_VALUE, detail)
            return
        rows, chosen = len(numbers), None if marks is None else np.flatnonzero(marks[numbers])
        kept = numbers if chosen is None else numbers[chosen]
    planned = rows if chosen is None else len(chosen)
    if not planned:
        return
    block, unusable = strict_block(block, rows)
    stored = _stored_keys(flush, item, block, unusable)
    # Not earlier: a key gets its spelling from the first event that logs it, even if the values are refused.
    why = flush.left_out.values.get((POINT_TABLES[block.kind], item.message.offset))
    if why is not None:
        flush.refuse(item, DeadLetterReason.UNUSABLE, why)
    if not stored.keys or why is not None:
        return
    series_of, name = flush.states[item.path].series, series_writer(writer)
    columns = Columns(
        item.path, name, block.kind, stored.keys, of_batch.steps[kept],
        of_batch.timestamps[kept], of_batch.versions[kept], *block_values(block, rows, chosen, stored.places),
        parse_stream(writer), series_of.group(str(block.kind), name), flush.key_numbers(item.path, stored.keys),
    )  # fmt: skip
    flush.columns.append(columns)
    flush.part.points += stored.taken * planned
    if check is not None:
        check.add(columns, kept)


def _stored_keys(flush: Flush, item: Received, block: Block, unusable: Mapping[int, str]) -> StoredKeys:
    """Return the keys of a block to store, by their stored spellings."""
    known = None if unusable else flush.known_keys(item.path, block.keys)
    return _new_keys(flush, item, block, unusable) if known is None else known


def _new_keys(flush: Flush, item: Received, block: Block, unusable: Mapping[int, str]) -> StoredKeys:
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
    return StoredKeys(list(places.values()), list(places), taken)
