"""Plan batches of logged rows: the step of each row, the stored spelling of each key, and each series' part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell_ingestor.messages import Received
from stepwell_ingestor.planner.accumulator import Flush
from stepwell_ingestor.planner.arrivals import Part, marked_rows
from stepwell_ingestor.planner.blocks import block_values, first_row, strict_block
from stepwell_ingestor.planner.content import ContentCheck, ContentDifference, SessionContent, begin_check
from stepwell_ingestor.planner.point_tables import Columns, Int64s
from stepwell_ingestor.planner.run_tables import (
    Conflict,
)
from stepwell_ingestor.planner.series_stats import split_by_series
from stepwell_ingestor.planner.session_steps import FINAL, resolve_batch
from stepwell_ingestor.planner.totals import NO_TOTALS
from stepwell_schemas.clickhouse.tables import POINT_TABLES
from stepwell_schemas.errors import DeadLetterReason, KeyRuleError, shorten
from stepwell_schemas.events.models import Block, LogBatch
from stepwell_schemas.limits import EARLIEST_TIMESTAMP, LATEST_TIMESTAMP, MAX_BATCH_ROWS, VERSION_ROW_BITS
from stepwell_schemas.rules.content import MASK
from stepwell_schemas.rules.identifiers import RunPath
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
        state.reached(int(resolved.steps.max()))
    named = np.frombuffer(batch.timestamps, "<i8")
    timestamps = _usable_times(named, item.timestamp)
    replaced = named[(named != timestamps) if marks is None else (named != timestamps) & marks]
    if len(replaced):
        flush.replaced_time(item, int(replaced[0]), len(replaced))
    versions = np.arange(batch.rows, dtype=np.uint64) + np.uint64(item.message.offset << VERSION_ROW_BITS)
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
    if not len(timestamps) or (timestamps.min() >= EARLIEST_TIMESTAMP and timestamps.max() <= LATEST_TIMESTAMP):
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
    places, keys, taken = _stored_keys(flush, item, block, unusable)
    # Not earlier: a key gets its spelling from the first event that logs it, even if the values are refused.
    why = flush.left_out.values.get((POINT_TABLES[block.kind], item.message.offset))
    if why is not None:
        flush.refuse(item, DeadLetterReason.UNUSABLE, why)
    if not keys or why is not None:
        return
    columns = Columns(
        item.path, series_writer(writer), block.kind, keys, of_batch.steps[kept],
        of_batch.timestamps[kept], of_batch.versions[kept], *block_values(block, rows, chosen, places),
    )  # fmt: skip
    flush.columns.append(columns)
    flush.part.points += taken * planned
    if check is not None:
        check.add(columns, kept)
    _add_series(flush, item.path, columns, parse_stream(writer))


def _stored_keys(
    flush: Flush, item: Received, block: Block, unusable: Mapping[int, str]
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


def _add_series(flush: Flush, path: RunPath, columns: Columns, stream: str) -> None:
    known = flush.states[path].series
    for key, part in zip(columns.keys, split_by_series(columns, stream), strict=True):
        if not isinstance(part.last[2], str):
            part.last = (part.last[0], part.last[1], float(part.last[2]))
        series = (key, str(columns.kind), columns.writer)
        earlier = flush.series.get((path, series))
        if earlier is None:
            part.follow(known.get(series, NO_TOTALS))
            flush.series[path, series] = part
        else:
            earlier.add(part)
