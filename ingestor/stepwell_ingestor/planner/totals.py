"""Totals of series, runs and sessions as of an offset: what a flush stores instead of its own contribution.

Totals name the flush's end, and those with the greatest end hold. Storing a flush again, late, or in part therefore
changes nothing, whatever ClickHouse remembers of earlier inserts. They are stored with the totals before the flush, so
that an unfinished flush can be undone and planned again (see docs/decisions/0011).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import add
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stepwell_ingestor.planner.arrow import row_type
from stepwell_schemas.limits import COUNT_MAX
from stepwell_schemas.rules.steps import NO_STEP


class SeriesTotals(NamedTuple):
    """The totals of one series: the greatest step, points, numbers other than NaN, and their sum."""

    last_step: int
    points: int
    not_nan: int
    value_sum: float


TOTALS: Final = np.dtype([("last_step", "<i8"), ("points", "<u8"), ("not_nan", "<u8"), ("value_sum", "<f8")])
"""`SeriesTotals` as a row of an array."""

NO_TOTALS: Final = SeriesTotals(NO_STEP, 0, 0, 0.0)
"""The totals of a series without points."""


class Counts(NamedTuple):
    """The numbers of rows, points and step conflicts stored, and of records repeated, missing and refused."""

    log_rows: int
    points: int
    conflicts: int
    repeated: int
    missing: int
    dead_letters: int = 0


NO_COUNTS: Final = Counts(0, 0, 0, 0, 0)
"""The counts before the first record."""


def add_counts(before: Counts, more: Counts) -> tuple[Counts, int]:
    """Return the sums, clipped at what their columns hold, and the number of counts that were clipped.

    Clipped sums do not depend on how the counts were divided into flushes. Only `missing` may decrease: by records that
    arrive late. It is clipped at 0 in case a copy of the tables has gaps and not their counts.
    """
    sums = list(map(add, before, more))
    if min(sums) >= 0 and max(sums) <= COUNT_MAX:
        return Counts._make(sums), 0
    return Counts(*(min(max(total, 0), COUNT_MAX) for total in sums)), sum(total > COUNT_MAX for total in sums)


_BEFORE: Final = "previous_"
_SERIES: Final = {"last_step": pa.int64(), "points": pa.uint64(), "not_nan": pa.uint64(), "value_sum": pa.float64()}


def totals_type(names: Sequence[str]) -> pa.StructType:
    """Return the type of a column with values as of a flush's end, and those before the flush."""
    types = {name: _SERIES.get(name, pa.uint64()) for name in names}
    # After the end, so that ClickHouse's `max` of two tuples chooses the later one.
    return row_type({"end": pa.uint64()} | types | {f"{_BEFORE}{name}": of for name, of in types.items()})


SERIES_TOTALS: Final = totals_type(SeriesTotals._fields)
RUN_TOTALS: Final = totals_type(Counts._fields[:-1])
SESSION_TOTALS: Final = totals_type(Counts._fields)
"""The types of the column `totals` in `series`, `run_activity` and `session_activity`."""


Holds = Callable[[int], bool]
"""Returns True if what a flush with a given end has written holds: it ended before, and was not abandoned."""


def series_as_of(totals: Mapping[str, Any], holds: Holds) -> SeriesTotals | None:
    """Return a series' totals without a flush that does not hold; None before its first point."""
    found = SeriesTotals(**as_of(totals, SeriesTotals._fields, holds))
    return found if found.points else None


def series_totals_as_of(totals: pa.StructArray, holds: Holds) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """Return the totals of many series like `series_as_of`, and True for those that have points."""
    columns = dict(zip((field.name for field in totals.type), totals.flatten(), strict=True))
    ends, of_rows = np.unique(columns["end"].to_numpy(), return_inverse=True)
    is_current = np.array([holds(int(end)) for end in ends])[of_rows]
    values = np.empty(len(totals), TOTALS)
    for name in SeriesTotals._fields:
        values[name] = np.where(is_current, columns[name].to_numpy(), columns[f"{_BEFORE}{name}"].to_numpy())
    return values, values["points"] > 0


def counts_as_of(totals: Mapping[str, Any], holds: Holds) -> Counts:
    """Return the counts of a run or session without a flush that does not hold."""
    return Counts(**as_of(totals, [name for name in Counts._fields if name in totals], holds))


def as_of(totals: Mapping[str, Any], names: Sequence[str], holds: Holds) -> dict[str, Any]:
    """Return the named values of such a column without a flush that does not hold."""
    before = "" if holds(totals["end"]) else _BEFORE
    return {name: totals[f"{before}{name}"] for name in names}
