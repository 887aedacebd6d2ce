"""`history`: a run's rows by step, sampled jointly to a given number.

Without keys, a row is every step at which the run (or the stream beside it that is asked for) logged anything; with
keys, every step that has a value for all of them (as in wandb), or, where the others are to be interpolated, for any of
them. At most `samples` rows: all of them; else the steps are cut into `samples - 1` even buckets, of which each gives
its last row, and the very first row comes in front. So the same request gives the same rows.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from stepwell_query.catalog.models import Progress, SeriesInfo
from stepwell_query.catalog.progress import read_progress
from stepwell_query.catalog.series import select_series
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import Limits
from stepwell_query.rows.interpolation import Interpolation, interpolated, lacking
from stepwell_query.rows.step_rows import RESERVED, StepRows, Values
from stepwell_query.rows.value_reader import Source, TooManyValuesError
from stepwell_query.series.math.bucketing import clip, step_buckets
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT

SAMPLES_MAX: Final = 10_000
"""Rows of one history answer; `scan` streams all."""

# Bits of the mask that says which keys a step has.
_MASK_KEYS: Final = 64


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """At most `samples` (2 or more) rows from step `low` to `high`, both included; no keys: all of the stream's."""

    keys: Sequence[str]
    samples: int = 500
    low: int | None = None
    high: int | None = None
    stream: str = DEFAULT
    interpolation: Interpolation | None = None


@dataclass(frozen=True, slots=True)
class History:
    """The rows, and whether there are more in the range asked for (`sampled`)."""

    rows: StepRows
    sampled: bool
    unknown: list[str]
    progress: Progress


def read_history(store: Store, run: RunPath, request: HistoryRequest, limits: Limits, max_cells: int) -> History:
    """Read the history of one run.

    Raises:
        RunNotFoundError: when there is no such run.
        RequestError: when samples × series exceed `max_cells`.
        StoreError: when ClickHouse does not answer, or a limit is reached.
    """
    reached = read_progress(store, run)
    keys = [key for key in request.keys if key not in RESERVED]
    found = select_series(store, run, keys, request.stream)
    _check_cells(request.samples, len(found.series), max_cells)
    source = Source(store, run, found, limits, digits=True)
    joint = found.named and request.interpolation is None
    # Rows with all keys are none, where one of them was never logged.
    extent = None if joint and found.unknown else _extent(found.series, request, joint=joint)
    steps, sampled = _steps(source, extent, request.samples, joint=joint) if extent else ([], False)
    values = _values(source, steps, request.samples) if steps else []
    rows = StepRows.of(found.series, values, reached.started_ms)
    if request.interpolation is not None and len(rows):
        rows = _interpolated(source, rows, request.interpolation)
    return History(rows, sampled, found.unknown, reached)


def _check_cells(samples: int, series: int, max_cells: int) -> None:
    if samples * series > max_cells:
        rule = f"{samples:,} rows of {series:,} metrics are more than {max_cells:,} values"
        raise RequestError("samples", samples, rule, "name the keys you need, ask for fewer samples, or use scan")


def _values(source: Source, steps: list[int], samples: int) -> list[Values]:
    try:
        return source.values("step IN {steps:Array(Int64)}", most_bytes=source.limits.max_bytes, steps=steps)
    except TooManyValuesError:
        rule = f"the rows hold more than {source.limits.max_bytes:,} bytes"
        remedy = "name the keys you need, ask for fewer samples, or use scan"
        raise RequestError("samples", samples, rule, remedy) from None


def _interpolated(source: Source, rows: StepRows, how: Interpolation) -> StepRows:
    wanting = lacking(rows, how)
    if not wanting:
        return interpolated(rows, [], how)
    around = source.part(wanting).around(rows.steps.tolist(), {info.kind for info in wanting})
    return interpolated(rows, around, how)


def _extent(series: Sequence[SeriesInfo], request: HistoryRequest, *, joint: bool) -> tuple[int, int] | None:
    """Return the first and the last step at which a row can be; a key's kinds together are one series here."""
    if not series:
        return None
    firsts: dict[str, int] = {}
    lasts: dict[str, int] = {}
    for info in series:
        firsts[info.key] = min(firsts.get(info.key, info.first), info.first)
        lasts[info.key] = max(lasts.get(info.key, info.last), info.last)
    if joint:
        return clip(max(firsts.values()), min(lasts.values()), request.low, request.high)
    return clip(min(firsts.values()), max(lasts.values()), request.low, request.high)


def _steps(source: Source, extent: tuple[int, int], samples: int, *, joint: bool) -> tuple[list[int], bool]:
    """Return the steps of the chosen rows, ascending, and whether there are more rows than those."""
    first, last = extent
    rows = _row_steps(source, joint=joint)
    # DISTINCT … LIMIT ends as soon as it has found one row too many.
    sql = f"SELECT DISTINCT step FROM {rows} LIMIT {samples + 1:d}"
    steps: list[int] = source.query(sql, low=first, high=last).column("step").to_pylist()
    if len(steps) <= samples:
        return sorted(steps), False
    buckets = step_buckets(first, last, samples)
    bucket = "intDiv((step - {low:Int64}) * {multiplier:Int64}, {divisor:Int64})"
    sql = f"SELECT min(step) AS first, max(step) AS last FROM {rows} GROUP BY {bucket} ORDER BY last"
    chosen = source.query(sql, low=first, high=last, multiplier=buckets.multiplier, divisor=buckets.divisor)
    return sorted({*chosen.column("last").to_pylist(), chosen.column("first")[0].as_py()}), True


def _row_steps(source: Source, *, joint: bool) -> str:
    """Return a subquery of the steps of the rows; a step may come several times."""
    steps = "step BETWEEN {low:Int64} AND {high:Int64}"
    keys = source.selection.keys
    if not joint or len(keys) <= 1:
        return source.of_tables("step", steps)
    if len(keys) > _MASK_KEYS:
        has_all = f"uniqExact(key) = {len(keys):d}"
    else:
        bit = "bitShiftLeft(toUInt64(1), indexOf({keys:Array(String)}, key) - 1)"
        has_all = f"groupBitOr({bit}) = {(1 << len(keys)) - 1:d}"
    return f"(SELECT step FROM {source.of_tables('step, key', steps)} GROUP BY step HAVING {has_all})"
