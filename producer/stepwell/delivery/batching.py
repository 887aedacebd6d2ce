"""Batching: split a journal's items into events, and build the columns of each batch.

Packed points are copied by column; there is no Python loop over points.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stepwell.delivery.journal_content import items_content, large_integers
from stepwell.journal.format import JournalInfo, Position
from stepwell.journal.items import JournalItem, JsonRow, MediaRecord, MetaEvent, Rows
from stepwell.journal.row_layout import BOOL_CODE, INT_CODE, Layout
from stepwell_schemas.events.codec import encode
from stepwell_schemas.events.models import (
    Block,
    Event,
    Exact,
    LogBatch,
    MediaChunk,
    MetricDefinition,
    RunFinished,
    RunStarted,
    RunUpdated,
)
from stepwell_schemas.limits import MAX_BATCH_ROWS, MAX_EVENT_BYTES, SEND_BATCH_BYTES
from stepwell_schemas.rules.content import row_weights, to_signed, to_unsigned
from stepwell_schemas.rules.kinds import Kind, as_float, exact_text
from stepwell_schemas.rules.steps import COMMIT_DEFAULT, NO_STEP, StepState, resolve

_META_EVENTS: Final[dict[str, type[Event]]] = {kind.name: kind for kind in (RunStarted, RunUpdated, RunFinished)}
_KEY_OVERHEAD_BYTES: Final = 4


class EncodedEvent(NamedTuple):
    """An encoded event, the journal position after it, and the writer's state there, None if it is unknown.

    `error` says why the event could not be encoded, "" if it was. `content`: that of its rows (`rules.content`).
    """

    payload: bytes
    after: Position
    error: str = ""
    steps: StepState | None = None
    content: int = 0


class EventContent(NamedTuple):
    """The content of one event: a meta event, a media chunk, or the rows of one batch (slices of blocks, JSON rows)."""

    items: list[JournalItem]
    rows: int
    after: int


def split_into_events(
    items: Iterable[JournalItem], max_bytes: int = SEND_BATCH_BYTES, max_rows: int = MAX_BATCH_ROWS
) -> Iterator[EventContent]:
    """Split items into events: in order, each record once, within the bounds (a single row always fits)."""
    pending: list[JournalItem] = []
    rows = used = 0
    layouts: set[int] = set()
    for item in items:
        if isinstance(item, MetaEvent | MediaRecord):
            if rows:
                yield EventContent(pending, rows, pending[-1].end)
                pending, rows, used, layouts = [], 0, 0, set()
            yield EventContent([item], 0, item.end)
            continue
        start = 0
        size = item.size if isinstance(item, JsonRow) else item.layout.record_bytes
        while start < _count(item):
            overhead = _overhead(item, layouts)
            room = min((max_bytes - used - overhead) // size, max_rows - rows)
            if room < 1 and rows:
                yield EventContent(pending, rows, pending[-1].end)
                pending, rows, used, layouts = [], 0, 0, set()
                continue
            part, start = _slice(item, start, max(1, room))
            pending.append(part)
            rows, used = rows + _count(part), used + _count(part) * size + overhead
            if isinstance(part, Rows):
                layouts.add(part.layout.tag)
    if rows:
        yield EventContent(pending, rows, pending[-1].end)


def _count(item: Rows | JsonRow) -> int:
    return len(item.array) if isinstance(item, Rows) else 1


def _overhead(item: Rows | JsonRow, layouts: set[int]) -> int:
    """Return the size of the keys, which a batch holds once per layout."""
    if isinstance(item, JsonRow) or item.layout.tag in layouts:
        return 0
    return sum(map(len, item.layout.keys)) + _KEY_OVERHEAD_BYTES * len(item.layout.keys)


def _slice(item: Rows | JsonRow, start: int, count: int) -> tuple[Rows | JsonRow, int]:
    if isinstance(item, JsonRow):
        return item, 1
    part = item.array[start : start + count]
    after = start + len(part)
    end = item.end - (len(item.array) - after) * item.layout.record_bytes
    return Rows(item.layout, part, end), after


def encode_events(
    contents: Iterable[EventContent], info: JournalInfo, sequence: int, steps: StepState | None = None
) -> Iterator[EncodedEvent]:
    """Encode events, the first of which begins with record number `sequence`, and where the writer has state `steps`.

    Content that can't be encoded (from a journal of another release, or after damage that a checksum missed) is
    reported in `error` and does not block the events after it.
    """
    for content in contents:
        after = Position(content.after, sequence + max(1, content.rows))
        try:
            event, steps_after = _build_event(content, info, sequence, steps)
            payload, error, steps = encode(event), "", steps_after
            total = to_unsigned(event.content or 0) if isinstance(event, LogBatch) else 0
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as problem:
            payload, error, total = b"", f"{type(problem).__name__}: {problem}", 0
        if len(payload) > MAX_EVENT_BYTES:
            payload, error = b"", f"{len(payload):,} bytes; an event has at most {MAX_EVENT_BYTES:,}"
        yield EncodedEvent(payload, after, error, steps, total)
        sequence = after.sequence


def build_event(content: EventContent, info: JournalInfo, sequence: int, steps: StepState | None = None) -> Event:
    """Return the event of content that begins with record `sequence`. Raises: ValueError, TypeError, KeyError."""
    return _build_event(content, info, sequence, steps)[0]


def _build_event(
    content: EventContent, info: JournalInfo, sequence: int, steps: StepState | None
) -> tuple[Event, StepState | None]:
    """Return the event, and the writer's state after its rows. Rows that can't be encoded count for nothing."""
    first = content.items[0]
    if isinstance(first, MetaEvent):
        return build_meta_event(first, info, sequence), steps
    if isinstance(first, MediaRecord):
        return MediaChunk(**_address(info, sequence), **first.head, data=first.data), steps
    return _build_batch(content, info, sequence, steps)


def build_meta_event(item: MetaEvent, info: JournalInfo, sequence: int) -> Event:
    """Return the event that a JSON record of a journal describes."""
    fields = dict(item.fields)
    kind = _META_EVENTS[fields.pop("event")]
    for name in ("config", "summary"):
        if name in fields:
            fields[name] = json.dumps(fields[name], ensure_ascii=True)
    if "metrics" in fields:
        fields["metrics"] = [MetricDefinition(**metric) for metric in fields["metrics"]]
    return kind(**_address(info, sequence), **fields)


def _address(info: JournalInfo, sequence: int) -> dict[str, Any]:
    return {
        "entity": info.entity,
        "project": info.project,
        "run_id": info.run_id,
        "session": info.session,
        "sequence": sequence,
    }


def _build_batch(
    content: EventContent, info: JournalInfo, sequence: int, steps: StepState | None
) -> tuple[LogBatch, StepState | None]:
    """Return rows as the columns of a batch; `steps` is the writer's state before them, None if it is unknown."""
    timestamps = np.empty(content.rows, "<i8")
    asked = np.empty(content.rows, "<i8")
    commits = np.empty(content.rows, "u1")
    packed: dict[int, list[tuple[int, Rows]]] = {}
    loose: list[tuple[int, JsonRow]] = []
    row = 0
    for item in content.items:
        if isinstance(item, Rows):
            span = slice(row, row + len(item.array))
            timestamps[span], asked[span] = item.array["timestamp"], item.array["asked"]
            commits[span] = item.array["commit"]
            packed.setdefault(item.layout.tag, []).append((row, item))
            row += len(item.array)
        elif isinstance(item, JsonRow):
            timestamps[row], asked[row], commits[row] = item.row["t"], item.row["s"], item.row["c"]
            loose.append((row, item))
            row += 1
    asked_steps = None if (asked == NO_STEP).all() else asked
    flags = None if (commits == COMMIT_DEFAULT).all() else commits.view(np.int8)
    resolved = None if steps is None else resolve(steps, asked_steps, flags, content.rows)
    weights = row_weights(sequence, content.rows, None if resolved is None else resolved.steps)
    blocks = [block for row_blocks in packed.values() for block in _layout_blocks(row_blocks, content.rows)]
    batch = LogBatch(
        **_address(info, sequence),
        timestamp=int(timestamps[0]),
        writer=info.writer,
        rows=content.rows,
        timestamps=timestamps.tobytes(),
        steps=None if asked_steps is None else asked_steps.tobytes(),
        commits=None if flags is None else flags.tobytes(),
        current_step=None if steps is None else steps.current,
        row_begun=steps is not None and steps.begun,
        content=to_signed(items_content(content.items, weights)),
        blocks=blocks + _loose_blocks(loose, content.rows),
    )
    return batch, None if resolved is None else resolved.state


def _layout_blocks(row_blocks: list[tuple[int, Rows]], batch_rows: int) -> list[Block]:
    layout = row_blocks[0][1].layout
    arrays = [rows.array for _, rows in row_blocks]
    array = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    rows = None
    if len(array) != batch_rows:
        spans = [np.arange(first, first + len(part.array), dtype="<u4") for first, part in row_blocks]
        rows = np.concatenate(spans).tobytes()
    return [block for block in (_numbers(layout, array, rows), _bools(layout, array, rows)) if block]


def _numbers(layout: Layout, array: NDArray[Any], rows: bytes | None) -> Block | None:
    keys = [key for key, code in zip(layout.keys, layout.codes, strict=True) if code != BOOL_CODE]
    if not keys:
        return None
    columns = np.empty((len(keys), len(array)), "<f8")
    exact: list[Exact] = []
    column = 0
    for number, (code, first, end) in enumerate(layout.code_runs()):
        if code == BOOL_CODE:
            continue
        values = array[f"v{number}"].T
        columns[column : column + end - first] = values
        if code == INT_CODE:
            exact += [Exact(index=column * len(array) + at, text=text) for at, text in large_integers(values)]
        column += end - first
    return Block(kind=Kind.NUMBER, keys=keys, rows=rows, packed=columns.tobytes(), exact=exact)


def _bools(layout: Layout, array: NDArray[Any], rows: bytes | None) -> Block | None:
    keys = [key for key, code in zip(layout.keys, layout.codes, strict=True) if code == BOOL_CODE]
    if not keys:
        return None
    runs = [array[f"v{number}"].T for number, (code, _, _) in enumerate(layout.code_runs()) if code == BOOL_CODE]
    return Block(kind=Kind.BOOL, keys=keys, rows=rows, packed=np.concatenate(runs).astype("u1").tobytes())


def _loose_blocks(loose: list[tuple[int, JsonRow]], batch_rows: int) -> list[Block]:
    """Return the blocks of rows without a layout; rows with the same keys of a kind share one."""
    groups: dict[tuple[str, tuple[str, ...]], list[tuple[int, list[Any]]]] = {}
    for row, item in loose:
        kinds: dict[str, dict[str, Any]] = {}
        for key, (kind, value) in item.row["d"].items():
            kinds.setdefault(kind, {})[key] = value
        for kind, cells in kinds.items():
            groups.setdefault((kind, tuple(cells)), []).append((row, list(cells.values())))
    return [_loose_block(Kind(kind), keys, members, batch_rows) for (kind, keys), members in groups.items()]


def _loose_block(kind: Kind, keys: tuple[str, ...], members: list[tuple[int, list[Any]]], batch_rows: int) -> Block:
    rows = None if len(members) == batch_rows else np.array([row for row, _ in members], "<u4").tobytes()
    flat = [values[column] for column in range(len(keys)) for _, values in members]
    if kind is Kind.NUMBER:
        packed = np.array([as_float(value) if isinstance(value, int) else value for value in flat], "<f8").tobytes()
        texts = ((at, exact_text(value)) for at, value in enumerate(flat) if isinstance(value, int))
        exact = [Exact(index=at, text=text) for at, text in texts if text]
        return Block(kind=kind, keys=list(keys), rows=rows, packed=packed, exact=exact)
    if kind is Kind.BOOL:
        return Block(kind=kind, keys=list(keys), rows=rows, packed=np.array(flat, "u1").tobytes())
    return Block(kind=kind, keys=list(keys), rows=rows, texts=flat)
