"""`scan`: all that a run logged, in bounded memory, while the run goes on: as rows by step, or value by value.

Each part is read by a statement of its own, that ends before the part is sent: a slow client holds memory, but no
statement and no connection. The last step is fixed at the start: what a run logs later is not part of the scan, but of
one that goes on from its `next`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import pyarrow as pa

from stepwell_query.catalog.models import Progress, Selection, SeriesInfo
from stepwell_query.catalog.progress import read_progress
from stepwell_query.catalog.series import select_series
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import Limits
from stepwell_query.rows.scan_cursor import END, Cursor, Place
from stepwell_query.rows.scan_long import tables_of
from stepwell_query.rows.scan_wide import blocks_of
from stepwell_query.rows.step_rows import RESERVED, StepRows
from stepwell_query.rows.value_reader import Source
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, STREAMS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What a stream logged from step `low` to `high`, both included, that earlier scans up to `cursor` did not send.

    With keys: their values. `digits` says that the digits of integers that float64 can't hold are wanted.
    """

    keys: Sequence[str]
    low: int | None = None
    high: int | None = None
    stream: str = DEFAULT
    digits: bool = True
    cursor: Cursor = field(default_factory=Cursor)


@dataclass(frozen=True, slots=True)
class Scan(Generic[T]):
    """A scan that is about to begin: its series, how far the run was stored then, and where a later scan goes on."""

    series: Sequence[SeriesInfo]
    blocks: Generator[T]
    progress: Progress
    next: Cursor


def begin_scan(
    store: Store, run: RunPath, request: ScanRequest, limits: Limits, most_values: int, *, any_key: bool
) -> Scan[StepRows]:
    """Plan a scan by step and read its first rows, so that what can fail fails now; the others as they are taken.

    With keys, the rows that have a value for all of them (`any_key`: for any). A row that grew since it was sent comes
    again, whole.

    Raises:
        RunNotFoundError: when there is no such run.
        RequestError: when a key names no metric of the run.
        StoreError: when ClickHouse does not answer; taking a block may raise it too.
    """
    begun = _begin(store, run, request, limits)
    low, end = Place(step=max(request.low or 0, begun.first)), Place(step=begun.last + 1)
    spans = request.cursor.spans(low, end)
    joint = begun.source.selection.named and not any_key
    blocks = _ahead(blocks_of(begun.source, spans, most_values, begun.progress.started_ms, joint=joint))
    following = request.cursor.moved(end, begun.progress.offset) if begun.last >= (request.low or 0) else request.cursor
    return Scan(begun.source.series, blocks, begun.progress, following)


def begin_long_scan(
    store: Store, run: RunPath, request: ScanRequest, limits: Limits, most_values: int
) -> Scan[pa.Table]:
    """Plan a scan by kind, key and step and read its first values, as `begin_scan` does; `LONG_SCHEMA` has its columns.

    Raises:
        RunNotFoundError, RequestError, StoreError: as `begin_scan`.
    """
    begun = _begin(store, run, request, limits)
    steps = request.low or 0, begun.last
    tables = _ahead(tables_of(begun.source, request.cursor, steps, most_values))
    return Scan(begun.source.series, tables, begun.progress, request.cursor.moved(END, begun.progress.offset))


@dataclass(frozen=True, slots=True)
class _Begun:
    """What both shapes begin with: `first` and `last` are the steps between which values can be."""

    source: Source
    progress: Progress
    first: int
    last: int


def _begin(store: Store, run: RunPath, request: ScanRequest, limits: Limits) -> _Begun:
    keys = [key for key in request.keys if key not in RESERVED]
    reached = read_progress(store, run)
    selection = _selected(store, run, keys, request.stream)
    first = min((info.first for info in selection.series), default=0)
    last = _last_step(selection.series, reached)
    source = Source(store, run, selection, limits, digits=request.digits)
    return _Begun(source, reached, first, last if request.high is None else min(last, request.high))


def _last_step(series: Sequence[SeriesInfo], reached: Progress) -> int:
    """Return the last step that was stored with the offset that was reached; where it is not known, that of the series.

    A flush that is landing shows its series before its offset. Only the run's own rows count for its last step.
    """
    last = max((info.last for info in series), default=-1)
    own = all(info.stream == DEFAULT and info.key.partition("/")[0] not in STREAMS for info in series)
    return min(last, reached.step) if own else last


def _selected(store: Store, run: RunPath, keys: list[str], stream: str) -> Selection:
    found = select_series(store, run, keys, stream)
    if found.unknown:
        names = ", ".join(map(repr, found.unknown))
        rule = f"the run has not logged {names}"
        raise RequestError("key", found.unknown[0], rule, f"GET /api/v1/runs/{run}/metrics lists what it logged")
    return found


def _ahead(blocks: Generator[T]) -> Generator[T]:
    """Read the first block now, and each further one while the one before is written."""
    reader = ThreadPoolExecutor(1, "stepwell-scan")
    first = reader.submit(next, blocks, None)
    first.result()
    return _following(blocks, reader, first)


def _following(blocks: Generator[T], reader: ThreadPoolExecutor, coming: Future[T | None]) -> Generator[T]:
    # What is being read is waited for before its generator is closed.
    with closing(blocks), reader:
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block
