"""`scan`: every row of a run by step, in memory bounded by a window of steps, while the run goes on.

A scan first counts the values by bucket of steps, then reads windows of neighbouring buckets that hold about as
many values as it may keep. A bucket that holds too many on its own is counted again, more finely, when its turn
comes. The last step is fixed at the start: what a run logs later is not part of the scan.
"""

# ruff: noqa: S608 - statements are put together from constants of this module; values travel as parameters.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stepwell_query.catalog import Progress, Selection, SeriesInfo, progress, select
from stepwell_query.errors import RequestError
from stepwell_query.rows import RESERVED, StepRows
from stepwell_query.sampling import bucket_shift, clip
from stepwell_query.values import Source
from stepwell_schemas.clickhouse import Store
from stepwell_schemas.identifiers import RunPath
from stepwell_schemas.streams import DEFAULT

_BUCKETS: Final = 2**14
"""Buckets of one count: 256 KiB of answer, and windows of 200,000 values for 3 × 10^9 values before a recount."""

_ANY_STEP: Final = "step BETWEEN {low:Int64} AND {high:Int64}"


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """Rows of a stream from step `low` to `high`, both ends included; with keys, those that have all of them."""

    keys: Sequence[str]
    low: int | None = None
    high: int | None = None
    page_rows: int | None = None
    stream: str = DEFAULT


@dataclass(frozen=True, slots=True)
class Window:
    """Steps `first`..`last` that hold `values` values; `divisible` when they lie in one bucket of several steps."""

    first: int
    last: int
    values: int
    divisible: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan that is about to begin: its columns, and how far the run was stored then."""

    series: Sequence[SeriesInfo]
    pages: Iterator[StepRows]
    progress: Progress


def windows(counts: Iterable[tuple[int, int]], shift: int, extent: tuple[int, int], most: int) -> Iterator[Window]:
    """Yield windows over `(bucket, values)` in ascending order: neighbours together, up to `most` values."""
    low, high = extent
    first, last, values, buckets = 0, 0, 0, 0
    for bucket, count in counts:
        if buckets and values + count > most:
            yield Window(max(first, low), min(last, high), values, divisible=buckets == 1 and shift > 0)
            values, buckets = 0, 0
        if not buckets:
            first = bucket << shift
        last = ((bucket + 1) << shift) - 1
        values += count
        buckets += 1
    if buckets:
        yield Window(max(first, low), min(last, high), values, divisible=buckets == 1 and shift > 0)


def begin_scan(store: Store, run: RunPath, request: ScanRequest, *, max_seconds: float, most_values: int) -> Scan:
    """Plan a scan; its pages are read as they are taken.

    Raises:
        RunNotFoundError: when there is no such run.
        RequestError: when a key names no metric of the run.
        StoreError: when ClickHouse does not answer; taking a page may raise it too.
    """
    reached = progress(store, run)
    keys = [key for key in request.keys if key not in RESERVED]
    selection = _selected(store, run, keys, request.stream)
    series = selection.series
    source = Source(store, run, selection, max_seconds)
    if request.page_rows is not None:
        most_values = min(most_values, request.page_rows * max(1, len(series)))
    extent = _extent(series, request)
    planned = _windows(source, extent, most_values) if extent else iter(())
    # The first count is made now, so that what can fail fails before the answer has begun.
    first = next(planned, None)
    pages = _pages(source, first, planned, reached.started_ms)
    return Scan(series, pages, reached)


def _selected(store: Store, run: RunPath, keys: list[str], stream: str) -> Selection:
    found = select(store, run, keys, stream)
    if found.unknown:
        rule = "is no metric that the run has logged"
        raise RequestError("key", found.unknown[0], rule, f"GET /api/v1/runs/{run}/metrics lists what it logged")
    return found


def _extent(series: Sequence[SeriesInfo], request: ScanRequest) -> tuple[int, int] | None:
    if not series:
        return None
    first, last = min(info.first for info in series), max(info.last for info in series)
    return clip(first, last, request.low, request.high)


def _windows(source: Source, extent: tuple[int, int], most: int) -> Iterator[Window]:
    low, high = extent
    shift = bucket_shift(low, high, _BUCKETS)
    rows = source.of_tables(f"bitShiftRight(step, {shift:d}) AS bucket", _ANY_STEP)
    sql = f"SELECT bucket, count() AS rows FROM {rows} GROUP BY bucket ORDER BY bucket {source.limits}"
    table = source.store.query(sql, source.parameters(low=low, high=high))
    counts = zip(table.column("bucket").to_pylist(), table.column("rows").to_pylist(), strict=True)
    for window in windows(counts, shift, extent, most):
        if window.divisible and window.values > most:
            yield from _windows(source, (window.first, window.last), most)
        else:
            yield window


def _pages(source: Source, first: Window | None, planned: Iterator[Window], started_ms: int) -> Iterator[StepRows]:
    window = first
    while window is not None:
        rows = StepRows(source.series, source.values(_ANY_STEP, low=window.first, high=window.last), started_ms)
        yield rows.with_all_keys() if source.selection.named else rows
        window = next(planned, None)
