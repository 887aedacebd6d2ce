"""Wide scans: consecutive windows of steps, each read with all its values.

The width of a window follows from the density of the previous one, such that it has about the target number of values.
A window that turns out to have too many values is abandoned and read again in narrower windows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Final

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.rows.scan_cursor import ScanRange
from stepwell_query.rows.step_rows import StepRows, Values
from stepwell_query.rows.value_reader import TooManyValuesError, ValueReader
from stepwell_query.rows.writer_rows import build_rows
from stepwell_schemas.limits import VERSION_ROW_BITS

_ANY_STEP: Final = "step BETWEEN {low:Int64} AND {high:Int64}"
_SINCE: Final = f"{_ANY_STEP} AND version >= {{since:UInt64}}"

# Each end of a window costs up to one granule of 8,192 rows per key that is read in addition.
_GRANULE_STEPS: Final = 8_192
_STEPS_A_KEY: Final = 4 * _GRANULE_STEPS
_LEAST_VALUES: Final = 500_000
# The first window is small, so that the answer starts without delay, but has a granule of each key, which is read
# anyway. All others are as large as they may be: with 100 metrics, 2 million values cost twice as much as 125,000.
_FIRST_SHARE: Final = 16
# Limits of the change of width from one window to the next, and after an empty window, which may be in a long gap.
_STRIDE: Final = 16
_STRIDE_IN_GAP: Final = 64
# A window with this many times the maximum number of values is abandoned.
_EXCESS: Final = 2


def read_blocks(
    reader: ValueReader, spans: Iterable[ScanRange], most: int, started_ms: int, *, joint: bool
) -> Generator[StepRows]:
    """Yield the rows of some ranges in blocks, ascending; `joint` restricts them to rows with all keys.

    Of a range with `since`, these are the rows to which a value was added, with all their values.
    """
    for values in read_windows(reader, spans, most):
        rows = build_rows(reader.selection, values, started_ms)
        if joint:
            rows = rows.with_all_keys()
        if len(rows):
            yield rows


def next_width(width: int, value_count: int, target: int, left: int) -> int:
    """Return the number of steps to read next, if `width` steps had `value_count` values and `left` steps are left.

    It is the width for `target` values, or the least one that needs as many windows.
    """
    if not value_count:
        return width * _STRIDE_IN_GAP
    widest = min(width * _STRIDE, max(1, width * target // value_count))
    return -(-left // -(-left // widest)) if left > 0 else widest


def read_windows(reader: ValueReader, spans: Iterable[ScanRange], most: int) -> Iterator[list[Values]]:
    """Yield the values of one window after another: at most `most`, or up to twice as many if the density rises."""
    most = min(most, max(_LEAST_VALUES, len(reader.series) * _STEPS_A_KEY))
    target = min(most, max(1, most // _FIRST_SHARE, len(reader.series) * _GRANULE_STEPS))
    for span in spans:
        low, high = span.low.step, span.high.step - 1
        # Usually few values are added to old steps.
        width = _first_width(reader.series, target) if span.since is None else high - low + 1
        while low <= high:
            last = min(low + width - 1, high)
            try:
                values = _window(reader, low, last, span.since, _EXCESS * most)
            except TooManyValuesError:
                width = max(1, (last - low + 1) // _STRIDE)
                continue
            yield values
            low, target = last + 1, most
            width = next_width(width, sum(len(table.step) for table in values), target, high - last)


def _first_width(series: Iterable[SeriesInfo], target: int) -> int:
    known = list(series)
    steps = max((info.last for info in known), default=0) - min((info.has_rows_from for info in known), default=0) + 1
    return max(1, steps * target // max(1, sum(info.rows for info in known)))


def _window(reader: ValueReader, low: int, high: int, since: int | None, most: int) -> list[Values]:
    condition, parameters = _ANY_STEP, {"low": low, "high": high}
    if since is not None:
        condition = f"step IN {reader.union_of_tables('step', _SINCE)}"
        parameters["since"] = (since + 1) << VERSION_ROW_BITS
    if low == high:
        # A row is never split, whatever its size.
        return reader.values(condition, **parameters)
    return reader.values(condition, most=most, most_bytes=reader.limits.max_bytes, **parameters)
