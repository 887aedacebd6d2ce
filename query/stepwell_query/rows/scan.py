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

from stepwell_query.catalog.run import Progress, Selection, SeriesInfo, progress, select
from stepwell_query.errors import RequestError
from stepwell_query.query_limits import QueryLimits
from stepwell_query.rows.scan_cursor import END, Cursor, ScanPosition
from stepwell_query.rows.scan_long import read_tables
from stepwell_query.rows.scan_wide import read_blocks
from stepwell_query.rows.step_rows import RESERVED, StepRows
from stepwell_query.rows.value_reader import ValueReader
from stepwell_schemas.clickhouse.store import Store
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.streams import DEFAULT, STREAMS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What a stream logged from step `step_from` to `step_to`, both included, that earlier scans up to `cursor` did not send.

    With keys: their values. `digits` says that the digits of integers that float64 can't hold are wanted.
    """

    keys: Sequence[str]
    step_from: int | None = None
    step_to: int | None = None
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
    store: Store, run: RunPath, request: ScanRequest, limits: QueryLimits, most_values: int, *, any_key: bool
) -> Scan[StepRows]:
    """Plan a scan by step and read its first rows, so that what can fail fails now; the others as they are taken.

    With keys, the rows that have a value for all of them (`any_key`: for any). A row that grew since it was sent comes
    again, whole.

    Raises:
        RunNotFoundError: when there is no such run.
        RequestError: when a key names no metric of the run.
        StoreError: when ClickHouse does not answer; taking a block may raise it too.
    """
    start = _begin(store, run, request, limits)
    low, end = ScanPosition(step=max(request.step_from or 0, start.first)), ScanPosition(step=start.last + 1)
    spans = request.cursor.spans(low, end)
    joint = start.reader.selection.named and not any_key
    blocks = _prefetch(read_blocks(start.reader, spans, most_values, start.progress.started_ms, joint=joint))
    following = (
        request.cursor.moved(end, start.progress.offset) if start.last >= (request.step_from or 0) else request.cursor
    )
    return Scan(start.reader.series, blocks, start.progress, following)


def begin_long_scan(
    store: Store, run: RunPath, request: ScanRequest, limits: QueryLimits, most_values: int
) -> Scan[pa.Table]:
    """Plan a scan by kind, key and step and read its first values, as `begin_scan` does; `LONG_SCHEMA` has its columns.

    Raises:
        RunNotFoundError, RequestError, StoreError: as `begin_scan`.
    """
    start = _begin(store, run, request, limits)
    steps = request.step_from or 0, start.last
    tables = _prefetch(read_tables(start.reader, request.cursor, steps, most_values))
    return Scan(start.reader.series, tables, start.progress, request.cursor.moved(END, start.progress.offset))


@dataclass(frozen=True, slots=True)
class _ScanStart:
    """What both shapes begin with: `first` and `last` are the steps between which values can be."""

    reader: ValueReader
    progress: Progress
    first: int
    last: int


def _begin(store: Store, run: RunPath, request: ScanRequest, limits: QueryLimits) -> _ScanStart:
    keys = [key for key in request.keys if key not in RESERVED]
    reached = progress(store, run)
    selection = _select_series(store, run, keys, request.stream)
    first = min((info.first for info in selection.series), default=0)
    last = _last_step(selection.series, reached)
    reader = ValueReader(store, run, selection, limits, digits=request.digits)
    return _ScanStart(reader, reached, first, last if request.step_to is None else min(last, request.step_to))


def _last_step(series: Sequence[SeriesInfo], reached: Progress) -> int:
    """Return the last step that was stored with the offset that was reached; where it is not known, that of the series.

    A flush that is landing shows its series before its offset. Only the run's own rows count for its last step.
    """
    last = max((info.last for info in series), default=-1)
    own = all(info.stream == DEFAULT and info.key.partition("/")[0] not in STREAMS for info in series)
    return min(last, reached.step) if own else last


def _select_series(store: Store, run: RunPath, keys: list[str], stream: str) -> Selection:
    selection = select(store, run, keys, stream)
    if selection.unknown:
        names = ", ".join(map(repr, selection.unknown))
        rule = f"the run has not logged {names}"
        raise RequestError("key", selection.unknown[0], rule, f"GET /api/v1/runs/{run}/metrics lists what it logged")
    return selection


def _prefetch(blocks: Generator[T]) -> Generator[T]:
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
