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
from stepwell_ingestor.planner.rollups.incremental import NEVER, Telling, tell
from stepwell_ingestor.planner.rollups.rows import ROW, UNKNOWN, Marks, Rows, keep_rows, open_rows
from stepwell_ingestor.planner.run_state import RunState
from stepwell_ingestor.planner.series_points import Series, flat_points, series_of
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


class RunRows(NamedTuple):
    """Rows of a level of a run's series; `places` has the index in `keys` for each row."""

    path: RunPath
    keys: Sequence[str]
    places: Int64s
    level: int
    rows: Rows


@dataclass
class Rolling:
    """The rollups of a flush.

    `told`: rows to insert first. `chosen`: by level, the buckets to compute from stored points after that.
    """

    levels: Sequence[int]
    told: list[RunRows] = field(default_factory=list)
    chosen: dict[int, list[Buckets]] = field(default_factory=dict)

    def choose(self, level: int, chosen: Buckets) -> None:
        """Add buckets to compute."""
        self.chosen.setdefault(level, []).append(chosen)

    def add(self, telling: Telling, runs: Sequence[tuple[RunPath, Sequence[str]]]) -> None:
        """Add an incremental result for series that are ordered by run and key."""
        starts = np.cumsum([0, *(len(keys) for _, keys in runs)])
        for level, places, rows in telling.rows:
            order = np.argsort(places, kind="stable")
            cuts = np.searchsorted(places[order], starts)
            for number in np.flatnonzero(np.diff(cuts)).tolist():
                (path, keys), part = runs[number], order[cuts[number] : cuts[number + 1]]
                self.told.append(RunRows(path, keys, places[part] - starts[number], level, rows[part]))
        for level, places, buckets in telling.unknown:
            of_runs = np.searchsorted(starts, places, "right") - 1
            for number, place, bucket in zip(of_runs.tolist(), places.tolist(), buckets.tolist(), strict=True):
                path, keys = runs[number]
                self.choose(level, Buckets(path, [keys[place - int(starts[number])]], [bucket]))

    def statements(self, version: int) -> Iterator[Statement]:
        """Yield the statements that compute the chosen buckets, in execution order and of bounded size."""
        for level in self.levels:
            pieces = [piece for one in _merged(self.chosen.get(level, ())) for piece in _pieces(one)]
            for start in range(0, len(pieces), _PARTS):
                yield computing(level, level_below(level, self.levels), pieces[start : start + _PARTS], version)

    def table(self, version: int) -> pa.Table | None:
        """Build the incremental rows of the table `rollups`; None if there are none."""
        return _table(self.told, version) if self.told else None


def _merged(chosen: Iterable[Buckets]) -> Iterator[Buckets]:
    """Merge the keys of a run for which the same buckets are chosen."""
    found: dict[tuple[RunPath, tuple[int, ...]], list[str]] = {}
    for one in chosen:
        found.setdefault((one.path, tuple(one.buckets)), []).extend(one.keys)
    for (path, buckets), keys in found.items():
        yield Buckets(path, keys, buckets)


def roll(
    columns: Sequence[Columns],
    before: Mapping[RunPath, RunState],
    after: Mapping[RunPath, RunState],
    levels: Sequence[int],
) -> Rolling:
    """Plan the rollups of a flush that stores these columns.

    Args:
        columns: the columns of the flush; only numbers have rollups.
        before: the state of each run before the flush; not changed.
        after: the state of each run after the flush; its open buckets are updated.
        levels: the levels, ascending.
    """
    rolling = Rolling(levels)
    found = series_of(columns)
    few = [series for series in found if series.point_count < _FEW_POINTS]
    for series in found:
        if len(few) == 1 or series.point_count >= _FEW_POINTS:
            _roll_together(rolling, series, before, after)
    if len(few) > 1:
        _roll_apart(rolling, few, before, after)
    return rolling


def _roll_together(
    rolling: Rolling, series: Series, before: Mapping[RunPath, RunState], after: Mapping[RunPath, RunState]
) -> None:
    """Plan the rollups of series with the same rows."""
    state, levels = after[series.path], rolling.levels
    prior = _last_steps(before, [series])
    points = series.points()
    known = open_rows([(state.open_buckets, series.keys)], len(levels))
    late = prior >= points.steps[0]
    if late.any():
        _choose_touched(rolling, series.path, _where(series.keys, late), points.steps, prior[late])
        known[late] = _unknown_row()
    if not late.all():
        ahead = ~late
        telling = tell(points.of(ahead), prior[ahead], known[ahead], levels)
        rolling.add(telling, [(series.path, _where(series.keys, ahead))])
        known[ahead] = telling.open
    keep_rows(state.open_buckets, series.keys, known)


def _roll_apart(
    rolling: Rolling, few: Sequence[Series], before: Mapping[RunPath, RunState], after: Mapping[RunPath, RunState]
) -> None:
    """Plan the rollups of many series with few points: the cost is per series, so all are processed as flat points."""
    levels, points, prior = rolling.levels, flat_points(few), _last_steps(before, few)
    keys_of = _keys_by_run(few)
    known = open_rows([(after[path].open_buckets, keys) for path, keys in keys_of], len(levels))
    firsts = np.flatnonzero(np.diff(points.series, prepend=-1))
    late = prior >= points.steps[firsts]
    names = [(path, key) for path, keys in keys_of for key in keys]
    ends = np.append(firsts, len(points.steps))
    for place in np.flatnonzero(late).tolist():
        path, key = names[place]
        steps = points.steps[ends[place] : ends[place + 1]]
        _choose_touched(rolling, path, [key], steps, prior[place : place + 1])
    known[late] = _unknown_row()
    if not late.all():
        ahead = ~late
        telling = tell(points.of(ahead), prior[ahead], known[ahead], levels)
        by_run: dict[RunPath, list[str]] = {}
        for place in np.flatnonzero(ahead).tolist():
            by_run.setdefault(names[place][0], []).append(names[place][1])
        rolling.add(telling, list(by_run.items()))
        known[ahead] = telling.open
    start = 0
    for path, keys in keys_of:
        keep_rows(after[path].open_buckets, keys, known[start : start + len(keys)])
        start += len(keys)


def _keys_by_run(found: Sequence[Series]) -> list[tuple[RunPath, list[str]]]:
    """Return the keys of series, grouped by run."""
    keys: dict[RunPath, list[str]] = {}
    for one in found:
        keys.setdefault(one.path, []).extend(one.keys)
    return list(keys.items())


def _last_steps(before: Mapping[RunPath, RunState], found: Sequence[Series]) -> Int64s:
    kind = str(Kind.NUMBER)
    return np.array([before[one.path].last_steps.get((key, kind), NEVER) for one in found for key in one.keys])


def _unknown_row() -> Rows:
    row = np.zeros((), ROW)
    row["bucket"] = UNKNOWN
    return row


def _choose_touched(rolling: Rolling, path: RunPath, keys: list[str], steps: Int64s, prior: Int64s) -> None:
    """Choose the closed buckets with the previous last step or a row of the flush."""
    last = np.maximum(prior, steps[-1])
    for level in rolling.levels:
        buckets, ends, of_prior = np.unique(steps >> level), last >> level, prior >> level
        for end in np.unique(ends):
            if len(shut := buckets[buckets < end]):
                rolling.choose(level, Buckets(path, _where(keys, ends == end), shut.tolist()))
        apart = (of_prior < ends) & ~np.isin(of_prior, buckets)
        for bucket in np.unique(of_prior[apart]):
            rolling.choose(level, Buckets(path, _where(keys, apart & (of_prior == bucket)), [int(bucket)]))


def _where(keys: list[str], chosen: Marks) -> list[str]:
    return keys if chosen.all() else [keys[place] for place in np.flatnonzero(chosen).tolist()]


def _pieces(one: Buckets) -> Iterator[Buckets]:
    for keys in _portions(one.keys):
        for start in range(0, len(one.buckets), _BUCKETS):
            yield Buckets(one.path, keys, one.buckets[start : start + _BUCKETS])


def _portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    ends = np.cumsum([len(key.encode()) + _KEY_BYTES for key in keys])
    start = 0
    while start < len(keys):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + _KEYS_BYTES, "right")), start + 1)
        yield keys[start:end]
        start = end


def _table(told: Sequence[RunRows], version: int) -> pa.Table:
    sizes = [len(part.rows) for part in told]
    rows = np.concatenate([part.rows for part in told])
    columns: dict[str, Any] = {}
    for name in ("entity", "project", "run_id"):
        names = Names()
        codes = names.codes(getattr(part.path, name) for part in told)
        columns[name] = names.column(np.repeat(codes, sizes))
    keys = Names()
    columns["key"] = keys.column(np.concatenate([keys.codes(part.keys)[part.places] for part in told]))
    columns["level"] = np.repeat(np.array([part.level for part in told], np.uint8), sizes)
    for name in ("bucket", *VALUES):
        columns[name] = np.ascontiguousarray(rows[name])
    columns["last_timestamp"] = pa.array(columns["last_timestamp"]).cast(pa.timestamp("ms", "UTC"))
    columns["version"] = np.full(len(rows), version, np.uint64)
    return pa.table(columns)
