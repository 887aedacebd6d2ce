"""Plan the rollups of a flush: rows computed from its own points, and buckets to compute from stored points.

A flush closes buckets: the one with the series' previous last step, and those of its own rows, up to the one that stays
open. It also changes closed buckets if its rows are late or overwrite a value. One rule covers both: of the buckets
with the previous last step or a row of the flush, those that are closed after the flush get a new row, level by level.

For a series that only appends, as nearly all do, nothing is read: its open buckets are kept between flushes
(`SeriesLedger`), and its rows are computed incrementally from the flush's own points. Other buckets are
computed from stored points: those of series with late rows, and those that were open when the state was loaded. Both
ways give the same row, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from stepwell_ingestor.planner.columns import Int64s
from stepwell_ingestor.planner.flush_series import NO_SERIES, FlushSeries, KnownSeries
from stepwell_ingestor.planner.rollups.incremental import NEVER, IncrementalRollups, append_points, extend_open
from stepwell_ingestor.planner.rollups.open_buckets import OpenBuckets
from stepwell_ingestor.planner.rollups.rows import UNKNOWN, FlatPoints, Points, Rows
from stepwell_ingestor.planner.series_columns import Levels, OpenRows
from stepwell_ingestor.planner.series_ledger import SeriesLedger
from stepwell_ingestor.planner.series_points import AlignedSeries, aligned_series, flat_points
from stepwell_schemas.rollups.sql import VALUES, Buckets, Statement, computing, level_below
from stepwell_schemas.rules.identifiers import RunPath

# A server accepts 128 KiB per parameter (http_max_field_value_size), in which a character may take two bytes.
_KEYS_BYTES: Final = 32_768
_KEY_BYTES: Final = 4
_BUCKETS: Final = 1_500
_PARTS: Final = 16
# Measured: a group of series with the same rows costs 300 µs, however few points it has; flat points cost 0.4 µs each.
_FEW_POINTS: Final = 1_024


class SeriesRows(NamedTuple):
    """Rows of a level, each with the number of its series."""

    numbers: Int64s
    level: int
    rows: Rows


@dataclass
class RollupPlan:
    """The rollups of a flush.

    `rows`: rows to insert first. `chosen`: by level, the buckets to compute from stored points after that. `known`: by
    series, the levels whose open buckets are known after the flush, None if they are those before it. `opened`: by run
    and level, the rows of open buckets that it changes.
    """

    levels: Sequence[int]
    series: FlushSeries = NO_SERIES
    rows: list[SeriesRows] = field(default_factory=list)
    chosen: dict[int, list[Buckets]] = field(default_factory=dict)
    known: Levels | None = None
    opened: Mapping[RunPath, Mapping[int, OpenRows]] = field(default_factory=dict)

    def choose(self, level: int, number: int, buckets: Sequence[int]) -> None:
        """Add buckets of a series to compute."""
        path, writer, key = self.series.name(number)
        self.chosen.setdefault(level, []).append(Buckets(path, writer, [key], buckets))

    def add(self, incremental: IncrementalRollups, numbers: Int64s) -> None:
        """Add an incremental result for series with these numbers."""
        for level, places, rows in incremental.rows:
            order = np.argsort(places, kind="stable")
            self.rows.append(SeriesRows(numbers[places[order]], level, rows[order]))
        for level, places, buckets in incremental.unknown:
            for number, bucket in zip(numbers[places].tolist(), buckets.tolist(), strict=True):
                self.choose(level, number, [bucket])

    def statements(self, version: int, begins: Mapping[RunPath, int]) -> Iterator[Statement]:
        """Yield the statements that compute the chosen buckets, in execution order and of bounded size.

        `begins`: the logical offsets at which runs begin whose names deleted runs had.
        """
        for level in self.levels:
            pieces = [piece for one in _merge_keys(self.chosen.get(level, ())) for piece in _pieces(one)]
            for start in range(0, len(pieces), _PARTS):
                yield computing(level, level_below(level, self.levels), pieces[start : start + _PARTS], version, begins)

    def table(self, version: int) -> pa.Table | None:
        """Build the incremental rows of the table `rollups`; None if there are none."""
        return _table(self.series, self.rows, version) if self.rows else None


def _merge_keys(chosen: Iterable[Buckets]) -> Iterator[Buckets]:
    """Merge the keys of a writer for which the same buckets are chosen."""
    found: dict[tuple[RunPath, str, tuple[int, ...]], list[str]] = {}
    for item in chosen:
        found.setdefault((item.path, item.writer, tuple(item.buckets)), []).extend(item.keys)
    for (path, writer, buckets), keys in found.items():
        yield Buckets(path, writer, keys, buckets)


def plan_rollups(
    series: FlushSeries, known: KnownSeries, ledgers: Mapping[RunPath, SeriesLedger], levels: Sequence[int]
) -> RollupPlan:
    """Plan the rollups of a flush.

    Args:
        series: the series of the flush; only numbers have rollups.
        known: the series before the flush.
        ledgers: the ledgers of the runs before the flush.
        levels: the levels, ascending.
    """
    rollup_plan = RollupPlan(levels, series)
    prior = np.where(known.there, known.totals["last_step"], NEVER)
    opened = OpenBuckets(series, ledgers, levels, prior, known.levels)
    flat = series.is_number.copy()
    for aligned in aligned_series(series, _FEW_POINTS):
        flat[aligned.numbers] = False
        _plan_aligned(rollup_plan, opened, aligned)
    if flat.any():
        _plan_flat(rollup_plan, opened, *flat_points(series, flat))
    rollup_plan.known, rollup_plan.opened = opened.after()
    return rollup_plan


def _plan_aligned(rollup_plan: RollupPlan, opened: OpenBuckets, aligned: AlignedSeries) -> None:
    """Plan the rollups of series with the same rows."""
    points, numbers = aligned.points(rollup_plan.series.parts), aligned.numbers
    late = opened.prior[numbers] >= points.steps[0]
    for number in numbers[late].tolist():
        _choose_touched(rollup_plan, number, points.steps, int(opened.prior[number]))
    opened.forget(numbers[late])
    if not late.all():
        _append(rollup_plan, opened, numbers[~late], points.of(~late))


def _plan_flat(rollup_plan: RollupPlan, opened: OpenBuckets, numbers: Int64s, points: FlatPoints) -> None:
    """Plan the rollups of series whose points are in one sequence."""
    firsts = np.flatnonzero(np.diff(points.series, prepend=-1))
    ends = np.append(firsts[1:], len(points.steps))
    prior, lowest = opened.prior[numbers], rollup_plan.levels[0]
    late = prior >= points.steps[firsts]
    for place in np.flatnonzero(late).tolist():
        _choose_touched(rollup_plan, int(numbers[place]), points.steps[firsts[place] : ends[place]], int(prior[place]))
    opened.forget(numbers[late])
    # Nearly all series that log now and then stay in their bucket of the lowest level, which alone changes then.
    last = points.steps[ends - 1] >> lowest
    stays = ~late & np.where(prior == NEVER, points.steps[firsts] >> lowest == last, prior >> lowest == last)
    if stays.any():
        _extend(opened, numbers[stays], points.of(stays))
    moves = ~late & ~stays
    if moves.any():
        _append(rollup_plan, opened, numbers[moves], points.of(moves))


def _extend(opened: OpenBuckets, numbers: Int64s, points: FlatPoints) -> None:
    """Add points to the lowest buckets, in which all of them lie."""
    before = opened.rows(0, numbers)
    new = opened.prior[numbers] == NEVER
    usable = new | (before["bucket"] != UNKNOWN)
    if not usable.all():
        before, points, new, numbers = before[usable], points.of(usable), new[usable], numbers[usable]
    if len(numbers):
        opened.keep(0, numbers, extend_open(opened.levels[0], points, before, begun=~new))
        opened.begin(numbers[new])


def _append(rollup_plan: RollupPlan, opened: OpenBuckets, numbers: Int64s, points: Points | FlatPoints) -> None:
    known = np.stack([opened.rows(level, numbers) for level in range(len(opened.levels))], axis=1)
    incremental = append_points(points, opened.prior[numbers], known, opened.levels)
    rollup_plan.add(incremental, numbers)
    opened.replace(numbers, incremental.open)


def _choose_touched(rollup_plan: RollupPlan, number: int, steps: Int64s, prior: int) -> None:
    """Choose the closed buckets with the previous last step or a row of the flush."""
    last = max(prior, int(steps[-1]))
    for level in rollup_plan.levels:
        buckets, end, of_prior = np.unique(steps >> level), last >> level, prior >> level
        if len(shut := buckets[buckets < end]):
            rollup_plan.choose(level, number, shut.tolist())
        if of_prior < end and of_prior not in buckets:
            rollup_plan.choose(level, number, [of_prior])


def _pieces(one: Buckets) -> Iterator[Buckets]:
    for keys in _fit_parameters(one.keys):
        for start in range(0, len(one.buckets), _BUCKETS):
            yield Buckets(one.path, one.writer, keys, one.buckets[start : start + _BUCKETS])


def _fit_parameters(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    ends = np.cumsum([len(key.encode()) + _KEY_BYTES for key in keys])
    start = 0
    while start < len(keys):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + _KEYS_BYTES, "right")), start + 1)
        yield keys[start:end]
        start = end


def _table(series: FlushSeries, parts: Sequence[SeriesRows], version: int) -> pa.Table:
    sizes = [len(part.rows) for part in parts]
    rows = np.concatenate([part.rows for part in parts])
    columns: dict[str, Any] = dict(series.columns(np.concatenate([part.numbers for part in parts])))
    del columns["kind"]
    if not any(group.writer for group in series.groups):
        del columns["writer"]
    columns["level"] = np.repeat(np.array([part.level for part in parts], np.uint8), sizes)
    for name in ("bucket", *VALUES):
        columns[name] = np.ascontiguousarray(rows[name])
    columns["last_timestamp"] = pa.array(columns["last_timestamp"]).cast(pa.timestamp("ms", "UTC"))
    columns["version"] = np.full(len(rows), version, np.uint64)
    return pa.table(columns)
