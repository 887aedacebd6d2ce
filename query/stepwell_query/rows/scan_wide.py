"""A scan by step: windows of steps are read one after the other, each with all of their values.

Each window is as wide as the density of the one before promises to hold about as many values as may be kept. A window
that turns out to hold more is given up and read again in narrower ones.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Final

from stepwell_query.catalog.models import SeriesInfo
from stepwell_query.rows.scan_cursor import Span
from stepwell_query.rows.step_rows import StepRows, Values
from stepwell_query.rows.value_reader import Source, TooManyValuesError
from stepwell_schemas.limits import VERSION_ROW_BITS

_ANY_STEP: Final = "step BETWEEN {low:Int64} AND {high:Int64}"
_SINCE: Final = f"{_ANY_STEP} AND version >= {{since:UInt64}}"

# Each end of a window costs up to a granule of 8,192 rows of each key, which are read beside it.
_STEPS_A_KEY: Final = 32_768
_LEAST_VALUES: Final = 500_000
# The first window is small, so that an answer begins at once; then each may hold this many times as much.
_FIRST_SHARE: Final = 16
_GROWTH: Final = 4
# How much wider or narrower than the one before a window may be; behind an empty one, which may lie in a long gap.
_STRIDE: Final = 8
_STRIDE_IN_GAP: Final = 64
# A window that holds this many times as many values as it should is given up.
_EXCESS: Final = 2


def blocks_of(source: Source, spans: Iterable[Span], most: int, started_ms: int, *, joint: bool) -> Generator[StepRows]:
    """Yield the rows of some spans, some at a time, ascending; `joint`: those that have all keys.

    Of a span with `since`, the rows to which something was added, whole.
    """
    for values in _windows(source, spans, most):
        rows = StepRows.of(source.series, values, started_ms)
        if joint:
            rows = rows.with_all_keys()
        if len(rows):
            yield rows


def next_width(width: int, found: int, wanted: int) -> int:
    """Return how many steps to read next, when `width` steps held `found` values and `wanted` are to be kept."""
    if not found:
        return width * _STRIDE_IN_GAP
    return min(width * _STRIDE, max(1, width * wanted // found))


def _windows(source: Source, spans: Iterable[Span], most: int) -> Iterator[list[Values]]:
    """Yield the values of window after window: about as many as pay, but `most` at most, or twice that by surprise."""
    most = min(most, max(_LEAST_VALUES, len(source.series) * _STEPS_A_KEY))
    wanted = max(1, most // _FIRST_SHARE)
    for span in spans:
        low, high = span.low.step, span.high.step - 1
        # What was added to old steps is little, as a rule.
        width = _first_width(source.series, wanted) if span.since is None else high - low + 1
        while low <= high:
            last = min(low + width - 1, high)
            try:
                values = _window(source, low, last, span.since, _EXCESS * most)
            except TooManyValuesError:
                width = max(1, (last - low + 1) // _STRIDE)
                continue
            yield values
            low, width = last + 1, next_width(width, sum(len(table.step) for table in values), wanted)
            wanted = min(most, wanted * _GROWTH)


def _first_width(series: Iterable[SeriesInfo], wanted: int) -> int:
    known = list(series)
    steps = max((info.last for info in known), default=0) - min((info.first for info in known), default=0) + 1
    return max(1, steps * wanted // max(1, sum(info.rows for info in known)))


def _window(source: Source, low: int, high: int, since: int | None, most: int) -> list[Values]:
    condition, parameters = _ANY_STEP, {"low": low, "high": high}
    if since is not None:
        condition = f"step IN {source.of_tables('step', _SINCE)}"
        parameters["since"] = (since + 1) << VERSION_ROW_BITS
    if low == high:
        # A row is read whole, whatever it takes.
        return source.values(condition, **parameters)
    return source.values(condition, most=most, most_bytes=source.limits.max_bytes, **parameters)
