"""Plan the rollups of a flush: rows computed from its own points, and buckets to compute from stored points.

A flush closes buckets: the one with the series' previous last step, and those of its own rows, up to the one that stays
open. It also changes closed buckets if its rows are late or overwrite a value. One rule covers both: of the buckets
with the previous last step or a row of the flush, those that are closed after the flush get a new row, level by level.

For a series that only appends, as nearly all do, nothing is read: its open buckets are kept between flushes
(`RunState.open_buckets`), and its rows are computed incrementally from the flush's own points. Other buckets are
computed from stored points: those of series with late rows, and those that were open when the state was loaded. Both
ways give the same row, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from stepwell_ingestor.planner.point_tables import Columns, Int64s, Names
from stepwell_ingestor.planner.rollups.incremental import NEVER, IncrementalRollups, append_points
from stepwell_ingestor.planner.rollups.rows import ROW, UNKNOWN, Marks, Rows, keep_rows, open_rows
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.series_points import Series, flat_points, group_series
from stepwell_schemas.rollups.sql import VALUES, Buckets, Statement, computing, level_below
from stepwell_schemas.rules.identifiers import RunPath
from stepwell_schemas.rules.kinds import Kind

# A server accepts 128 KiB per parameter (http_max_field_value_size), in which a character may take two bytes.
_KEYS_BYTES: Final = 32_768
_KEY_BYTES: Final = 4
_BUCKETS: Final = 1_500
_PARTS: Final = 16
# Measured: a group of series with the same rows costs 150 µs, however few points it has; flat points cost 2 µs each.
_FEW_POINTS: Final = 128


class WriterKeys(NamedTuple):
    """Keys of number series of one writer."""

    path: RunPath
    writer: str
    keys: list[str]


class WriterRows(NamedTuple):
    """Rows of a level of a writer's series; `places` has the index in `keys` for each row."""

    path: RunPath
    writer: str
    keys: Sequence[str]
    places: Int64s
    level: int
    rows: Rows


@dataclass
class RollupPlan:
    """The rollups of a flush.

    `rows`: rows to insert first. `chosen`: by level, the buckets to compute from stored points after that.
    """

    levels: Sequence[int]
    rows: list[WriterRows] = field(default_factory=list)
    chosen: dict[int, list[Buckets]] = field(default_factory=dict)

    def choose(self, level: int, chosen: Buckets) -> None:
        """Add buckets to compute."""
        self.chosen.setdefault(level, []).append(chosen)

    def add(self, incremental: IncrementalRollups, writers: Sequence[WriterKeys]) -> None:
        """Add an incremental result for series that are ordered by writer and key."""
        starts = np.cumsum([0, *(len(of.keys) for of in writers)])
        for level, places, rows in incremental.rows:
            order = np.argsort(places, kind="stable")
            cuts = np.searchsorted(places[order], starts)
            for number in np.flatnonzero(np.diff(cuts)).tolist():
                of, part = writers[number], order[cuts[number] : cuts[number + 1]]
                self.rows.append(WriterRows(*of, places[part] - starts[number], level, rows[part]))
        for level, places, buckets in incremental.unknown:
            of_writers = np.searchsorted(starts, places, "right") - 1
            for number, place, bucket in zip(of_writers.tolist(), places.tolist(), buckets.tolist(), strict=True):
                path, writer, keys = writers[number]
                self.choose(level, Buckets(path, writer, [keys[place - int(starts[number])]], [bucket]))

    def statements(self, version: int) -> Iterator[Statement]:
        """Yield the statements that compute the chosen buckets, in execution order and of bounded size."""
        for level in self.levels:
            pieces = [piece for one in _merge_keys(self.chosen.get(level, ())) for piece in _pieces(one)]
            for start in range(0, len(pieces), _PARTS):
                yield computing(level, level_below(level, self.levels), pieces[start : start + _PARTS], version)

    def table(self, version: int) -> pa.Table | None:
        """Build the incremental rows of the table `rollups`; None if there are none."""
        return _table(self.rows, version) if self.rows else None


def _merge_keys(chosen: Iterable[Buckets]) -> Iterator[Buckets]:
    """Merge the keys of a writer for which the same buckets are chosen."""
    found: dict[tuple[RunPath, str, tuple[int, ...]], list[str]] = {}
    for item in chosen:
        found.setdefault((item.path, item.writer, tuple(item.buckets)), []).extend(item.keys)
    for (path, writer, buckets), keys in found.items():
        yield Buckets(path, writer, keys, buckets)


def plan_rollups(
    columns: Sequence[Columns],
    before: Mapping[RunPath, RunState],
    after: Mapping[RunPath, RunState],
    levels: Sequence[int],
) -> RollupPlan:
    """Plan the rollups of a flush that stores these columns.

    Args:
        columns: the columns of the flush; only numbers have rollups.
        before: the state of each run before the flush; not changed.
        after: the state of each run after the flush; its open buckets are updated.
        levels: the levels, ascending.
    """
    rollup_plan = RollupPlan(levels)
    found = group_series(columns)
    few = [series for series in found if series.point_count < _FEW_POINTS]
    for series in found:
        if len(few) == 1 or series.point_count >= _FEW_POINTS:
            _plan_aligned(rollup_plan, series, before, after)
    if len(few) > 1:
        _plan_flat(rollup_plan, few, before, after)
    return rollup_plan


def _plan_aligned(
    rollup_plan: RollupPlan, series: Series, before: Mapping[RunPath, RunState], after: Mapping[RunPath, RunState]
) -> None:
    """Plan the rollups of series with the same rows."""
    state, levels = after[series.path], rollup_plan.levels
    prior = _last_steps(before, [series])
    points = series.points()
    known = open_rows([(state.open_buckets, series.writer, series.keys)], len(levels))
    late = prior >= points.steps[0]
    if late.any():
        touched = WriterKeys(series.path, series.writer, _where(series.keys, late))
        _choose_touched(rollup_plan, touched, points.steps, prior[late])
        known[late] = _unknown_row()
    if not late.all():
        ahead = ~late
        incremental = append_points(points.of(ahead), prior[ahead], known[ahead], levels)
        rollup_plan.add(incremental, [WriterKeys(series.path, series.writer, _where(series.keys, ahead))])
        known[ahead] = incremental.open
    keep_rows(state.open_buckets, series.writer, series.keys, known)


def _plan_flat(
    rollup_plan: RollupPlan,
    few: Sequence[Series],
    before: Mapping[RunPath, RunState],
    after: Mapping[RunPath, RunState],
) -> None:
    """Plan the rollups of many series with few points: the cost is per series, so all are processed as flat points."""
    levels, points, prior = rollup_plan.levels, flat_points(few), _last_steps(before, few)
    by_writer = _keys_by_writer(few)
    known = open_rows([(after[of.path].open_buckets, of.writer, of.keys) for of in by_writer], len(levels))
    firsts = np.flatnonzero(np.diff(points.series, prepend=-1))
    late = prior >= points.steps[firsts]
    names = [(of.path, of.writer, key) for of in by_writer for key in of.keys]
    ends = np.append(firsts, len(points.steps))
    for place in np.flatnonzero(late).tolist():
        path, writer, key = names[place]
        steps = points.steps[ends[place] : ends[place + 1]]
        _choose_touched(rollup_plan, WriterKeys(path, writer, [key]), steps, prior[place : place + 1])
    known[late] = _unknown_row()
    if not late.all():
        ahead = ~late
        incremental = append_points(points.of(ahead), prior[ahead], known[ahead], levels)
        rollup_plan.add(incremental, _group(names[place] for place in np.flatnonzero(ahead).tolist()))
        known[ahead] = incremental.open
    start = 0
    for path, writer, keys in by_writer:
        keep_rows(after[path].open_buckets, writer, keys, known[start : start + len(keys)])
        start += len(keys)


def _keys_by_writer(all_series: Sequence[Series]) -> list[WriterKeys]:
    return _group((item.path, item.writer, key) for item in all_series for key in item.keys)


def _group(names: Iterable[tuple[RunPath, str, str]]) -> list[WriterKeys]:
    """Group series, given by run, writer and key, by their writers."""
    keys: dict[tuple[RunPath, str], list[str]] = {}
    for path, writer, key in names:
        keys.setdefault((path, writer), []).append(key)
    return [WriterKeys(*of, own) for of, own in keys.items()]


def _last_steps(before: Mapping[RunPath, RunState], all_series: Sequence[Series]) -> Int64s:
    kind = str(Kind.NUMBER)
    known = (before[item.path].series.get((key, kind, item.writer)) for item in all_series for key in item.keys)
    return np.array([NEVER if totals is None else totals.last_step for totals in known])


def _unknown_row() -> Rows:
    row = np.zeros((), ROW)
    row["bucket"] = UNKNOWN
    return row


def _choose_touched(rollup_plan: RollupPlan, touched: WriterKeys, steps: Int64s, prior: Int64s) -> None:
    """Choose the closed buckets with the previous last step or a row of the flush."""
    path, writer, keys = touched
    last = np.maximum(prior, steps[-1])
    for level in rollup_plan.levels:
        buckets, ends, of_prior = np.unique(steps >> level), last >> level, prior >> level
        for end in np.unique(ends):
            if len(shut := buckets[buckets < end]):
                rollup_plan.choose(level, Buckets(path, writer, _where(keys, ends == end), shut.tolist()))
        apart = (of_prior < ends) & ~np.isin(of_prior, buckets)
        for bucket in np.unique(of_prior[apart]):
            rollup_plan.choose(level, Buckets(path, writer, _where(keys, apart & (of_prior == bucket)), [int(bucket)]))


def _where(keys: list[str], chosen: Marks) -> list[str]:
    return keys if chosen.all() else [keys[place] for place in np.flatnonzero(chosen).tolist()]


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


def _table(parts: Sequence[WriterRows], version: int) -> pa.Table:
    sizes = [len(part.rows) for part in parts]
    rows = np.concatenate([part.rows for part in parts])
    columns: dict[str, Any] = {}
    for name in ("entity", "project", "run_id"):
        names = Names()
        codes = names.codes(getattr(part.path, name) for part in parts)
        columns[name] = names.column(np.repeat(codes, sizes))
    keys = Names()
    columns["key"] = keys.column(np.concatenate([keys.codes(part.keys)[part.places] for part in parts]))
    if any(part.writer for part in parts):
        writers = Names()
        columns["writer"] = writers.column(np.repeat(writers.codes(part.writer for part in parts), sizes))
    columns["level"] = np.repeat(np.array([part.level for part in parts], np.uint8), sizes)
    for name in ("bucket", *VALUES):
        columns[name] = np.ascontiguousarray(rows[name])
    columns["last_timestamp"] = pa.array(columns["last_timestamp"]).cast(pa.timestamp("ms", "UTC"))
    columns["version"] = np.full(len(rows), version, np.uint64)
    return pa.table(columns)
