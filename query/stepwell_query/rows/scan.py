"""`scan`: all that a run logged, in bounded memory and also while the run continues, as rows by step or as values.

Each part is read by a separate statement, which ends before the part is sent: a slow client occupies memory, but no
statement and no connection. The last step is fixed at the start. Values that are logged later belong to a later scan,
which continues from `next`.
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
from stepwell_query.catalog.writers import PRIMARY, WriterSelection
from stepwell_query.errors import UnknownKeysError
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
    """A request for the values of a stream from `step_from` to `step_to`, both included, without those of `cursor`.

    `keys` restricts the values to these keys, `cursor` excludes those that earlier scans sent. `digits` requests the
    digits of integers that float64 can't represent.
    """

    keys: Sequence[str]
    step_from: int | None = None
    step_to: int | None = None
    stream: str = DEFAULT
    digits: bool = True
    cursor: Cursor = field(default_factory=Cursor)
    writers: WriterSelection = PRIMARY


@dataclass(frozen=True, slots=True)
class Scan(Generic[T]):
    """A started scan: its series, its blocks, the progress of the run at its start, and the cursor of the next scan."""

    selection: Selection
    blocks: Generator[T]
    progress: Progress
    next: Cursor


def begin_scan(
    store: Store, run: RunPath, request: ScanRequest, limits: QueryLimits, most_values: int, *, any_key: bool
) -> Scan[StepRows]:
    """Plan a scan by step and read its first rows, so that errors occur now; further rows are read on demand.

    With keys, rows have a value for all of them (`any_key`: for any of them). A row that got further values after it
    was sent is sent again with all its values.

    Raises:
        RunNotFoundError: when there is no such run.
        UnknownKeysError: when a key names no metric of the run.
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
    return Scan(start.reader.selection, blocks, start.progress, following)


def begin_long_scan(
    store: Store, run: RunPath, request: ScanRequest, limits: QueryLimits, most_values: int
) -> Scan[pa.Table]:
    """Plan a scan by kind, key and step and read its first values, as `begin_scan` does, in tables of `LONG_SCHEMA`.

    Raises:
        RunNotFoundError, UnknownKeysError, StoreError: as `begin_scan`.
    """
    start = _begin(store, run, request, limits)
    steps = request.step_from or 0, start.last
    tables = _prefetch(read_tables(start.reader, request.cursor, steps, most_values))
    return Scan(start.reader.selection, tables, start.progress, request.cursor.moved(END, start.progress.offset))


@dataclass(frozen=True, slots=True)
class _ScanStart:
    """Start of a scan in either shape; all values are between the steps `first` and `last`."""

    reader: ValueReader
    progress: Progress
    first: int
    last: int


def _begin(store: Store, run: RunPath, request: ScanRequest, limits: QueryLimits) -> _ScanStart:
    keys = [key for key in request.keys if key not in RESERVED]
    reached = read_progress(store, run)
    selection = _select_series(store, run, keys, request)
    first = min((info.has_rows_from for info in selection.series), default=0)
    last = _last_step(selection.series, reached)
    reader = ValueReader(store, run, selection, limits, digits=request.digits)
    return _ScanStart(reader, reached, first, last if request.step_to is None else min(last, request.step_to))


def _last_step(series: Sequence[SeriesInfo], reached: Progress) -> int:
    """Return the last step that is stored up to the reached offset, or the last step of the series if unknown.

    The series of a flush become visible before its offset. The last step of a run counts only the run's own rows.
    """
    last = max((info.last for info in series), default=-1)
    own = all(info.stream == DEFAULT and info.key.partition("/")[0] not in STREAMS for info in series)
    return min(last, reached.step) if own else last


def _select_series(store: Store, run: RunPath, keys: list[str], request: ScanRequest) -> Selection:
    selection = select_series(store, run, keys, request.stream, request.writers)
    if selection.unknown:
        raise UnknownKeysError(selection.unknown, f"GET /api/v1/runs/{run}/metrics lists what it logged")
    return selection


def _prefetch(blocks: Generator[T]) -> Generator[T]:
    """Read the first block now, and each further block while the previous block is encoded."""
    reader = ThreadPoolExecutor(1, "stepwell-scan")
    first = reader.submit(next, blocks, None)
    first.result()
    return _following(blocks, reader, first)


def _following(blocks: Generator[T], reader: ThreadPoolExecutor, coming: Future[T | None]) -> Generator[T]:
    # The read in progress has to end before its generator can be closed.
    with closing(blocks), reader:
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block
