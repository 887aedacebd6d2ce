"""Rows as lines of JSON, built in columns: fragments of text for all cells, then sorted into the order of rows."""

from __future__ import annotations

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stepwell_query.encoding import NotFinite
from stepwell_query.rows.format_arrow import MILLISECONDS, exact_digits
from stepwell_query.rows.json_fragments import (
    TEXT,
    bool_texts,
    concat_texts,
    document_texts,
    exact_texts,
    number_texts,
    string_texts,
)
from stepwell_query.rows.step_rows import (
    RESERVED,
    RUNTIME,
    STEP,
    TIMESTAMP,
    WRITER,
    Int64s,
    StepRows,
    Values,
    name_indexes,
    slot_order,
)
from stepwell_schemas.rules.kinds import Kind

INTERPOLATED = "_interpolated"
"""The field that lists the keys of a row whose values were interpolated."""

_CLOSE = ord("}")


def wide_lines(
    rows: StepRows, non_finite: NotFinite = NotFinite.TEXT, end: str = "\n", *, filled: bool = False
) -> bytes:
    """Return each row as a JSON object followed by `end`; keys are in the order of `series`.

    With `filled`, each object lists the keys whose values were interpolated.
    """
    names = _names(rows)
    places = name_indexes(names)
    width = int(places.max(initial=-1)) + 2
    count = len(rows)
    each = np.arange(count)
    pieces, row_of, slots = [_heads(rows)], [each], [np.zeros(count, np.int64)]
    lasting = _lasting(rows, places)
    for table, row in lasting:
        pieces.append(_cells(table, rows, names, non_finite))
        row_of.append(row)
        slots.append(1 + places[table.series])
    if filled:
        marks = _marks(lasting, names, count)
        pieces += [texts for texts, _, _ in marks]
        row_of += [row for _, row, _ in marks]
        slots += [width + slot for _, _, slot in marks]
        width += len(names) + 2
    pieces.append(_same(end, count))
    row_of.append(each)
    slots.append(np.full(count, width))
    return _written(pieces, np.concatenate(row_of), np.concatenate(slots), width + 1, len(end))


def long_lines(table: pa.Table, non_finite: NotFinite = NotFinite.TEXT, end: str = "\n") -> bytes:
    """Return each value of a long table as a JSON object followed by `end`; `timestamp` is seconds since the epoch."""
    lines = [_long_lines(batch, non_finite, end) for batch in table.to_batches() if batch.num_rows]
    if not lines:
        return b""
    merged = pa.concat_arrays(lines)
    return _closed(merged, np.arange(1, len(merged) + 1), len(end))


def _long_lines(batch: pa.RecordBatch, non_finite: NotFinite, end: str) -> pa.Array:
    """Return the lines of a record batch, which has values of one kind."""
    kind = Kind(batch.column("kind")[0].as_py())
    keys = batch.column("key")
    used, index = np.unique(keys.indices.to_numpy(), return_inverse=True)
    names = keys.dictionary.take(pa.array(used)).to_pylist()
    heads = pa.array([f'{{"key":{_quoted(key)},"kind":"{kind}",' for key in names], TEXT)
    return concat_texts(
        heads.take(pa.array(index)),
        *_long_writers(batch),
        '"step":',
        number_texts(batch.column("step").to_numpy()),
        '"timestamp":',
        number_texts(batch.column("timestamp").cast(pa.int64()).to_numpy() / MILLISECONDS),
        '"value":',
        _long_texts(batch, kind, non_finite),
        end,
    )


def _long_writers(batch: pa.RecordBatch) -> list[pa.Array | str]:
    if "writer" not in batch.schema.names:
        return []
    writers = batch.column("writer")
    return ['"writer":', string_texts(writers.dictionary).take(writers.indices)]


def _long_texts(batch: pa.RecordBatch, kind: Kind, non_finite: NotFinite) -> pa.Array:
    value, text = batch.column("value"), batch.column("text")
    if kind is Kind.NUMBER:
        return exact_texts(number_texts(value.to_numpy(), non_finite), text)
    if kind is Kind.BOOL:
        return bool_texts(value.cast(pa.bool_()))
    return string_texts(text) if kind is Kind.STRING else document_texts(text)


def _heads(rows: StepRows) -> pa.Array:
    times = rows.times
    return concat_texts(
        f'{{"{STEP}":',
        number_texts(rows.steps),
        f'"{TIMESTAMP}":',
        number_texts(times / MILLISECONDS),
        f'"{RUNTIME}":',
        number_texts((times - rows.started_ms) / MILLISECONDS),
        *([] if rows.writers is None else [f'"{WRITER}":', pc.fill_null(string_texts(rows.writers), "null,")]),
    )


def _names(rows: StepRows) -> list[str]:
    reserved = RESERVED if rows.writers is None else RESERVED | {WRITER}
    return [f"{info.key} ({info.kind})" if info.key in reserved else info.key for info in rows.series]


def _cells(table: Values, rows: StepRows, names: list[str], non_finite: NotFinite) -> pa.Array:
    named = pa.array([f"{_quoted(name)}:" for name in names], TEXT).take(pa.array(table.series))
    return concat_texts(named, _texts(table, rows.table_kind(table), non_finite))


def _texts(table: Values, kind: Kind, non_finite: NotFinite) -> pa.Array:
    if kind is Kind.NUMBER:
        texts = number_texts(table.value.to_numpy(), non_finite)
        return texts if table.exact is None else exact_texts(texts, exact_digits(table))
    if kind is Kind.BOOL:
        return bool_texts(table.value)
    return string_texts(table.value) if kind is Kind.STRING else document_texts(table.value)


def _lasting(rows: StepRows, places: Int64s) -> list[tuple[Values, Int64s]]:
    """Return the values that appear in rows, with the indexes of their rows, table by table.

    If a row has two kinds of a key, a logged value wins over a filled one, and the value logged later over the earlier.
    """
    tables = list(zip(rows.tables, rows.row_indexes, strict=True))
    if not tables or not (np.bincount(places) > 1).any():
        return tables
    cells = [row * len(places) + places[table.series] for table, row in tables]
    versions = [np.zeros(len(t.step), np.uint64) if t.version is None else t.version for t in rows.tables]
    logged = [np.ones(len(t.step), bool) if t.filled is None else ~t.filled for t in rows.tables]
    cell = np.concatenate(cells)
    order = np.lexsort((np.concatenate(versions), np.concatenate(logged), cell))
    last = np.ones(len(cell), bool)
    last[:-1] = cell[order][1:] != cell[order][:-1]
    kept = np.zeros(len(cell), bool)
    kept[order[last]] = True
    masks = np.split(kept, np.cumsum([len(part) for part in cells])[:-1])
    return [(table.take(mask), row[mask]) for (table, row), mask in zip(tables, masks, strict=True) if mask.any()]


def _marks(lasting: list[tuple[Values, Int64s]], names: list[str], count: int) -> list[tuple[pa.Array, Int64s, Int64s]]:
    """Return the fragments of each row's list of interpolated keys: texts, their rows, and their slots from 0."""
    filled = [(row[table.filled], table.series[table.filled]) for table, row in lasting if table.filled is not None]
    row = np.concatenate([rows_of for rows_of, _ in filled] or [np.empty(0, np.int64)])
    series = np.concatenate([series_of for _, series_of in filled] or [np.empty(0, np.int64)])
    order = np.lexsort((series, row))
    row, series = row[order], series[order]
    last = np.ones(len(row), bool)
    last[:-1] = row[1:] != row[:-1]
    quoted = pa.array([_quoted(name) for name in names], TEXT).take(pa.array(series))
    texts = concat_texts(quoted, pc.if_else(pa.array(last), pa.scalar("", TEXT), pa.scalar(",", TEXT)))
    each = np.arange(count)
    return [
        (_same(f'"{INTERPOLATED}":[', count), each, np.zeros(count, np.int64)),
        (texts, row, 1 + series),
        (_same("],", count), each, np.full(count, 1 + len(names))),
    ]


def _written(pieces: list[pa.Array], row: Int64s, slot: Int64s, width: int, end: int) -> bytes:
    order = slot_order(row * width + slot)
    merged = pa.concat_arrays(pieces).take(pa.array(order))
    # A row ends with the fragment before the first fragment of the next row.
    return _closed(merged, np.flatnonzero(slot[order] == width - 1) + 1, end)


def _closed(texts: pa.Array, ends: Int64s, end: int) -> bytes:
    """Return texts as bytes; the comma before each line's `end` is replaced by the closing brace."""
    _, offsets, data = texts.buffers()
    if data is None:
        return b""
    at = np.frombuffer(offsets, np.int64)[: len(texts) + 1]
    written = np.frombuffer(data, np.uint8)[at[0] : at[-1]].copy()
    written[at[ends] - at[0] - end - 1] = _CLOSE
    return written.tobytes()


def _same(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, TEXT), count)


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
