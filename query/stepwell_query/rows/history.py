"""`history`: a run's rows by step, sampled jointly to a given number.

Without keys, every step at which the run (or the requested stream of it) logged a value is a row. With keys, every step
with a value for all of them is a row (as in wandb), or, with interpolation, every step with a value for any of them.
If there are at most `samples` rows, all are returned. Otherwise the steps are split into `samples - 1` equal buckets;
the answer is the very first row and the last row of each bucket. The same request therefore gives the same rows.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stepwell_query.catalog.models import Progress, Selection, SeriesInfo
from stepwell_query.catalog.progress import read_progress
from stepwell_query.catalog.retained import raw_from_json
from stepwell_query.catalog.series import select_series
from stepwell_query.catalog.writers import PRIMARY, WriterSelection
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.rows.interpolation import Interpolation, fill_gaps, series_with_gaps
from stepwell_query.rows.step_rows import RESERVED, StepRows, Values
from stepwell_query.rows.value_reader import TooManyValuesError, ValueReader
from stepwell_query.rows.writer_rows import build_rows
from stepwell_query.series.math.bucketing import clip, step_buckets
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT

SAMPLES_MAX: Final = 10_000
"""Limit of rows of one history answer; `scan` streams all rows."""

# Bits of the mask of keys that have a value at a step.
_MASK_KEYS: Final = 64


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """At most `samples` (at least 2) rows from `step_from` to `step_to`, both included; no keys: all of the stream."""

    keys: Sequence[str]
    samples: int = 500
    step_from: int | None = None
    step_to: int | None = None
    stream: str = DEFAULT
    interpolation: Interpolation | None = None
    writers: WriterSelection = PRIMARY


@dataclass(frozen=True, slots=True)
class History:
    """The rows; `sampled` is true if the requested range has more rows.

    `other_writers` is the number of writers of each key that were not selected, where there are any. `raw_from` is the
    field with the first step whose rows are complete, if retention has removed any.
    """

    rows: StepRows
    sampled: bool
    unknown: list[str]
    progress: Progress
    other_writers: dict[str, int]
    raw_from: dict[str, int]


def read_history(store: Store, run: RunPath, request: HistoryRequest, limits: QueryLimits, max_cells: int) -> History:
    """Read the history of one run.

    Raises:
        RunNotFoundError: when there is no such run.
        RequestError: when samples × series exceed `max_cells`.
        StoreError: when ClickHouse does not answer, or a limit is reached.
    """
    reached = read_progress(store, run)
    keys = [key for key in request.keys if key not in RESERVED]
    selection = select_series(store, run, keys, request.stream, request.writers)
    _check_cells(request.samples, len(selection.columns), max_cells)
    _check_writers(request, selection)
    reader = ValueReader(store, run, selection, limits, digits=True)
    joint = selection.named and request.interpolation is None
    # If one of the keys was never logged, no row has all keys.
    extent = None if joint and selection.unknown else _extent(selection.series, request, joint=joint)
    steps, sampled = _steps(reader, extent, request.samples, joint=joint) if extent else ([], False)
    values = _values(reader, steps, request.samples) if steps else []
    rows = build_rows(selection, values, reached.started_ms)
    if joint and reader.shared:
        rows = rows.with_all_keys()
    if request.interpolation is not None and len(rows):
        rows = _interpolated(reader, rows, request.interpolation)
    removed = raw_from_json(selection.series)
    return History(rows, sampled, selection.unknown, reached, selection.other_writers, removed)


def _check_cells(samples: int, series: int, max_cells: int) -> None:
    if samples * series > max_cells:
        rule = f"{samples:,} rows of {series:,} metrics are more than {max_cells:,} values"
        raise RequestError("samples", samples, rule, "name the keys you need, ask for fewer samples, or use scan")


def _check_writers(request: HistoryRequest, selection: Selection) -> None:
    if not selection.shared:
        return
    if request.interpolation is not None:
        rule = "interpolates the values of one writer"
        raise RequestError("interpolate", request.interpolation, rule, "name one writer")
    if request.samples < 2 * len(selection.writers):
        rule = f"is less than two rows of each of {len(selection.writers):,} writers"
        raise RequestError("samples", request.samples, rule, "ask for more samples, or name fewer writers")


def _values(reader: ValueReader, steps: list[int], samples: int) -> list[Values]:
    try:
        return reader.values("step IN {steps:Array(Int64)}", most_bytes=reader.limits.max_bytes, steps=steps)
    except TooManyValuesError:
        rule = f"the rows hold more than {reader.limits.max_bytes:,} bytes"
        remedy = "name the keys you need, ask for fewer samples, or use scan"
        raise RequestError("samples", samples, rule, remedy) from None


def _interpolated(reader: ValueReader, rows: StepRows, how: Interpolation) -> StepRows:
    wanting = series_with_gaps(rows, how)
    if not wanting:
        return fill_gaps(rows, [], how)
    values_around = reader.part(wanting).values_around(rows.steps.tolist(), {info.kind for info in wanting})
    return fill_gaps(rows, values_around, how)


def _extent(series: Sequence[SeriesInfo], request: HistoryRequest, *, joint: bool) -> tuple[int, int] | None:
    """Return the first and the last step at which a row can be; the kinds of a key count as one series."""
    if not series:
        return None
    firsts: dict[str, int] = {}
    lasts: dict[str, int] = {}
    for info in series:
        firsts[info.key] = min(firsts.get(info.key, info.has_rows_from), info.has_rows_from)
        lasts[info.key] = max(lasts.get(info.key, info.last), info.last)
    if joint:
        return clip(max(firsts.values()), min(lasts.values()), request.step_from, request.step_to)
    return clip(min(firsts.values()), max(lasts.values()), request.step_from, request.step_to)


def _steps(reader: ValueReader, extent: tuple[int, int], samples: int, *, joint: bool) -> tuple[list[int], bool]:
    """Return the steps of the sampled rows, ascending, and True if there are more rows."""
    first, last = extent
    rows = _row_steps(reader, joint=joint)
    # DISTINCT … LIMIT stops as soon as it has found one row more than requested.
    distinct = "step, writer" if reader.shared else "step"
    sql = f"SELECT DISTINCT {distinct} FROM {rows} LIMIT {samples + 1:d}"
    steps: list[int] = reader.query(sql, low=first, high=last).column("step").to_pylist()
    if len(steps) <= samples:
        return sorted(set(steps)), False
    # A step has at most a row of each writer, one of which is common if a writer has none.
    buckets = step_buckets(first, last, samples // len(reader.selection.writers) if reader.shared else samples)
    bucket = "intDiv((step - {low:Int64}) * {multiplier:Int64}, {divisor:Int64})"
    sql = f"SELECT min(step) AS first, max(step) AS last FROM {rows} GROUP BY {bucket} ORDER BY last"
    chosen = reader.query(sql, low=first, high=last, multiplier=buckets.multiplier, divisor=buckets.divisor)
    return sorted({*chosen.column("last").to_pylist(), chosen.column("first")[0].as_py()}), True


def _row_steps(reader: ValueReader, *, joint: bool) -> str:
    """Return a subquery of the steps of the rows, with their writers if these share keys; both may be repeated."""
    steps = "step BETWEEN {low:Int64} AND {high:Int64}"
    keys = reader.selection.keys
    # A row of several writers has values of all keys only if one of these wrote all of them.
    columns = "step, writer" if reader.shared else "step"
    if not joint or len(keys) <= 1:
        return reader.union_of_tables(columns, steps)
    if len(keys) > _MASK_KEYS:
        has_all = f"uniqExact(key) = {len(keys):d}"
    else:
        bit = "bitShiftLeft(toUInt64(1), indexOf({keys:Array(String)}, key) - 1)"
        has_all = f"groupBitOr({bit}) = {(1 << len(keys)) - 1:d}"
    return (
        f"(SELECT {columns} FROM {reader.union_of_tables(f'{columns}, key', steps)}"
        f" GROUP BY {columns} HAVING {has_all})"
    )
